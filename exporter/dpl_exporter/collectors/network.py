"""Traffic, health and speed of network devices."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import psutil
from prometheus_client import Metric

from dpl_exporter.collectors.base import MOST_DEVICES, Collector, counters, gauges
from dpl_exporter.errors import NoData

BYTES_PER_MEGABIT = 125_000


@dataclass(frozen=True, slots=True)
class Device:
    """Totals since the machine started; `drops_out` is None on macOS, where psutil has a constant
    0; `megabits` per second, 0 where unknown."""

    received: int
    sent: int
    packets_received: int
    packets_sent: int
    errors_in: int
    errors_out: int
    drops_in: int
    drops_out: int | None
    is_up: bool | None
    megabits: int


def read_devices(platform: str = sys.platform) -> dict[str, Device]:
    """Source: psutil.net_io_counters(pernic=True), psutil.net_if_stats."""
    stats = psutil.net_if_stats()
    return {
        name: Device(
            received=one.bytes_recv,
            sent=one.bytes_sent,
            packets_received=one.packets_recv,
            packets_sent=one.packets_sent,
            errors_in=one.errin,
            errors_out=one.errout,
            drops_in=one.dropin,
            drops_out=one.dropout if platform != "darwin" else None,
            is_up=stats[name].isup if name in stats else None,
            megabits=stats[name].speed if name in stats else 0,
        )
        for name, one in psutil.net_io_counters(pernic=True).items()
    }


class NetworkCollector(Collector):
    """dpl_node_network_*{device}, at most eight devices whose names do not match `ignore`.

    Raises: NoData where none is left.
    """

    name = "network"

    def __init__(
        self,
        ignore: re.Pattern[str],
        read: Callable[[], Mapping[str, Device]] = read_devices,
    ) -> None:
        self._ignore = ignore
        self._read = read

    def collect(self) -> Iterable[Metric]:
        devices = told_devices(self._ignore, self._read())
        if not devices:
            raise NoData("no network device")
        for metric, text, pick in _COUNTERS:
            values = {name: pick(one) for name, one in devices.items()}
            yield from counters(f"dpl_node_network_{metric}", text, "device", values)
        yield from gauges(
            "dpl_node_network_speed_bytes",
            "Link speed in bytes per second.",
            "device",
            {name: speed(one) for name, one in devices.items()},
        )
        yield from gauges(
            "dpl_node_network_up",
            "1 while the link is up.",
            "device",
            {n: None if one.is_up is None else float(one.is_up) for n, one in devices.items()},
        )


def told_devices(ignore: re.Pattern[str], found: Mapping[str, Device]) -> dict[str, Device]:
    """Those that get series."""
    devices = [(name, one) for name, one in found.items() if not ignore.fullmatch(name)]
    return dict(sorted(devices)[:MOST_DEVICES])


def speed(device: Device) -> float | None:
    """Bytes per second."""
    return device.megabits * BYTES_PER_MEGABIT or None


_COUNTERS: tuple[tuple[str, str, Callable[[Device], float | None]], ...] = (
    ("receive_bytes_total", "Bytes received.", lambda d: d.received),
    ("transmit_bytes_total", "Bytes sent.", lambda d: d.sent),
    ("receive_packets_total", "Packets received.", lambda d: d.packets_received),
    ("transmit_packets_total", "Packets sent.", lambda d: d.packets_sent),
    ("receive_errors_total", "Broken packets received.", lambda d: d.errors_in),
    ("transmit_errors_total", "Packets that could not be sent.", lambda d: d.errors_out),
    ("receive_drops_total", "Received packets dropped.", lambda d: d.drops_in),
    ("transmit_drops_total", "Packets to send dropped.", lambda d: d.drops_out),
)
