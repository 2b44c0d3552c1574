"""Traffic of the machine's disks, each as a whole.

Partitions, the paths to a disk, and what lies on top of disks (dm, md, bcache, zvols) would count
it twice; loops and RAM are no disks, and what comes over the network (nbd, rbd) counts there.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import psutil
from prometheus_client import Metric

from dpl_exporter.collectors.base import MOST_DEVICES, Collector, counters
from dpl_exporter.errors import NoData

NO_DISK = re.compile(
    r"(loop|ram|zram|dm-|md|bcache|zd|sr|fd|nbd|rbd|drbd)\d+|nvme\d+c\d+n\d+|mmcblk\d+(boot\d+|rpmb)"
)


@dataclass(frozen=True, slots=True)
class Disk:
    """Totals since the machine started; milliseconds, None where the platform has none."""

    read_bytes: int
    write_bytes: int
    read_count: int
    write_count: int
    read_time: int | None
    write_time: int | None
    busy_time: int | None


def read_disks() -> dict[str, Disk]:
    """Source: psutil.disk_io_counters(perdisk=True); on Linux only what /sys/block lists."""
    found = psutil.disk_io_counters(perdisk=True) or {}
    whole = os.listdir("/sys/block") if sys.platform == "linux" else list(found)
    return {
        name: Disk(
            read_bytes=one.read_bytes,
            write_bytes=one.write_bytes,
            read_count=one.read_count,
            write_count=one.write_count,
            read_time=getattr(one, "read_time", None),
            write_time=getattr(one, "write_time", None),
            busy_time=getattr(one, "busy_time", None),
        )
        for name, one in found.items()
        if name in whole
    }


class DiskCollector(Collector):
    """dpl_node_disk_*{device}, at most eight disks. Raises: NoData where there is none."""

    name = "disk"

    def __init__(self, read: Callable[[], Mapping[str, Disk]] = read_disks) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        disks = told_disks(self._read())
        if not disks:
            raise NoData("no disk")
        for name, text, pick in _COUNTERS:
            values = {device: pick(one) for device, one in disks.items()}
            yield from counters(f"dpl_node_disk_{name}", text, "device", values)


def told_disks(found: Mapping[str, Disk]) -> dict[str, Disk]:
    """Those that get series."""
    disks = [(name, one) for name, one in found.items() if not NO_DISK.fullmatch(name)]
    return dict(sorted(disks)[:MOST_DEVICES])


def seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


_COUNTERS: tuple[tuple[str, str, Callable[[Disk], float | None]], ...] = (
    ("read_bytes_total", "Bytes read.", lambda d: d.read_bytes),
    ("written_bytes_total", "Bytes written.", lambda d: d.write_bytes),
    ("reads_completed_total", "Reads.", lambda d: d.read_count),
    ("writes_completed_total", "Writes.", lambda d: d.write_count),
    ("read_time_seconds_total", "Time in reads.", lambda d: seconds(d.read_time)),
    ("write_time_seconds_total", "Time in writes.", lambda d: seconds(d.write_time)),
    ("io_time_seconds_total", "Time the disk was busy.", lambda d: seconds(d.busy_time)),
)
