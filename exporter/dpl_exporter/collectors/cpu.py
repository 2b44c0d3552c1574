"""CPU time and count."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psutil
from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector, counters, gauges

MODES = (
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "interrupt", "dpc",
)  # fmt: skip
"""Those of Linux, macOS and Windows; each platform has some."""
HELD_BY = {"user": ("guest",), "nice": ("guest_nice",), "system": ("interrupt", "dpc")}
"""Mode -> what it holds besides: on Linux the time of guests, on Windows that of interrupts."""
BEGUN_ANEW = 3.0
"""Seconds: who falls by more was taken away and came back, as node_exporter takes it."""

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Cpu:
    """`seconds` per field of psutil.cpu_times, summed over all CPUs."""

    seconds: Mapping[str, float]
    logical: int | None
    physical: int | None
    each: Sequence[Mapping[str, float]] = ()
    """The same for every CPU, read for `--compat` only."""


def read_cpu() -> Cpu:
    """Source: psutil.cpu_times, psutil.cpu_count."""
    return Cpu(psutil.cpu_times()._asdict(), psutil.cpu_count(), psutil.cpu_count(logical=False))


def read_each_cpu() -> Cpu:
    """The sum is the system's own: what a CPU has spent stays in it when that one is taken away.

    Source: psutil.cpu_times(percpu=True).
    """
    each = [one._asdict() for one in psutil.cpu_times(percpu=True)]
    return replace(read_cpu(), each=each)


def by_mode(seconds: Mapping[str, float]) -> dict[str, float]:
    """Each second in one mode only; see HELD_BY."""
    modes = {mode: seconds[mode] for mode in MODES if mode in seconds}
    for mode in HELD_BY.keys() & modes.keys():
        held = sum(seconds.get(other, 0.0) for other in HELD_BY[mode])
        modes[mode] = max(0.0, modes[mode] - held)
    return modes


class Forward:
    """Counters that may step back a little, as Linux's iowait does (proc(5)), and may not seem to:
    Prometheus takes a fall for a restart, and adds the whole count once more."""

    def __init__(self) -> None:
        self._read: Mapping[Any, float] = {}
        self._told: Mapping[Any, float] = {}

    def of(self, seconds: Mapping[Key, float]) -> dict[Key, float]:
        """Never less than was told before, unless one fell by more than three seconds at once."""
        told = dict(seconds)
        for key, value in seconds.items():
            if self._read.get(key, value) - value <= BEGUN_ANEW:
                told[key] = max(value, self._told.get(key, value))
        self._read, self._told = seconds, told
        return told


class CpuCollector(Collector):
    """dpl_node_cpu_seconds_total{mode}, dpl_node_cpus{kind}."""

    name = "cpu"

    def __init__(self, read: Callable[[], Cpu] = read_cpu) -> None:
        self._read = read
        self._forward = Forward()

    def collect(self) -> Iterable[Metric]:
        cpu = self._read()
        yield from counters(
            "dpl_node_cpu_seconds_total",
            "CPU time in seconds, summed over all CPUs.",
            "mode",
            dict(self._forward.of(by_mode(cpu.seconds))),
        )
        yield from gauges(
            "dpl_node_cpus",
            "Number of CPUs.",
            "kind",
            {"logical": cpu.logical, "physical": cpu.physical},
        )
