"""Pressure stall information: how long tasks waited for CPU, memory and disk (Linux 4.20 on)."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector, counters
from dpl_exporter.errors import NoData

PROC = Path("/proc")
RESOURCES = ("cpu", "memory", "io")
LINE = re.compile(r"^(some|full) .*\btotal=(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pressure:
    """Seconds since the machine started; `stalled` is None where the kernel does not tell."""

    waiting: float | None
    stalled: float | None


def parse_pressure(text: str) -> Pressure:
    """One file of /proc/pressure; its totals are microseconds. Source: Linux, accounting/psi."""
    totals = {kind: int(total) / 1e6 for kind, total in LINE.findall(text)}
    return Pressure(totals.get("some"), totals.get("full"))


def read_pressure(proc: Path = PROC) -> dict[str, Pressure]:
    """By resource; `proc` is where /proc is.

    Raises: NoData where the kernel has none, or was booted with psi=0.
    """
    found = {}
    for resource in RESOURCES:
        try:
            found[resource] = parse_pressure((proc / "pressure" / resource).read_text("ascii"))
        except OSError:
            continue
    if not found:
        raise NoData("no pressure stall information")
    return found


class PressureCollector(Collector):
    """dpl_node_pressure_{waiting,stalled}_seconds_total{resource}.

    All tasks of a machine never wait for the CPU at once, so `stalled` has memory and io only.
    """

    name = "pressure"

    def __init__(self, read: Callable[[], Mapping[str, Pressure]] = read_pressure) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        pressures = self._read()
        yield from counters(
            "dpl_node_pressure_waiting_seconds_total",
            "Time in which at least one task waited.",
            "resource",
            {name: one.waiting for name, one in pressures.items()},
        )
        yield from counters(
            "dpl_node_pressure_stalled_seconds_total",
            "Time in which every task waited.",
            "resource",
            {name: one.stalled for name, one in pressures.items() if name != "cpu"},
        )
