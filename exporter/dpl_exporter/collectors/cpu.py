"""CPU time and count."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import psutil
from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector, counters, gauges

MODES = (
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "interrupt", "dpc",
)  # fmt: skip
"""Those of Linux, macOS and Windows; each platform has some."""


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
    """One reading as well: the sums are made here. Source: psutil.cpu_times(percpu=True)."""
    each = [one._asdict() for one in psutil.cpu_times(percpu=True)]
    seconds = {mode: sum(one[mode] for one in each) for mode in each[0]} if each else {}
    return Cpu(seconds, psutil.cpu_count(), psutil.cpu_count(logical=False), each)


def by_mode(seconds: Mapping[str, float]) -> dict[str, float | None]:
    """Linux counts guest time in user and guest_nice in nice as well: taken off here."""
    modes: dict[str, float | None] = {mode: seconds[mode] for mode in MODES if mode in seconds}
    for mode, guest in (("user", "guest"), ("nice", "guest_nice")):
        if mode in seconds and guest in seconds:
            modes[mode] = max(0.0, seconds[mode] - seconds[guest])
    return modes


class CpuCollector(Collector):
    """dpl_node_cpu_seconds_total{mode}, dpl_node_cpus{kind}."""

    name = "cpu"

    def __init__(self, read: Callable[[], Cpu] = read_cpu) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        cpu = self._read()
        yield from counters(
            "dpl_node_cpu_seconds_total",
            "CPU time in seconds, summed over all CPUs.",
            "mode",
            by_mode(cpu.seconds),
        )
        yield from gauges(
            "dpl_node_cpus",
            "Number of CPUs.",
            "kind",
            {"logical": cpu.logical, "physical": cpu.physical},
        )
