"""Memory and swap. On Apple Silicon the memory is the GPU's as well."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil
from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector, counter, gauge

SYSCTL = ("/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes; `pressure` is 1 normal, 2 warn, 4 critical, None but on macOS."""

    total: int
    available: int
    used: int
    swap_total: int
    swap_used: int
    swap_in: int
    swap_out: int
    pressure: int | None = None


def read_memory() -> Memory:
    """Source: psutil.virtual_memory, psutil.swap_memory; macOS: sysctl."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return Memory(
        total=memory.total,
        available=memory.available,
        used=memory.used,
        swap_total=swap.total,
        swap_used=swap.used,
        swap_in=swap.sin,
        swap_out=swap.sout,
        pressure=_read_pressure() if sys.platform == "darwin" else None,
    )


def _read_pressure() -> int | None:
    try:
        said = subprocess.run(SYSCTL, capture_output=True, text=True, timeout=0.2, check=True)
        return int(said.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


class MemoryCollector(Collector):
    """dpl_node_memory_*_bytes, dpl_node_memory_pressure_level, dpl_node_swap_*."""

    name = "memory"

    def __init__(self, read: Callable[[], Memory] = read_memory) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        memory = self._read()
        yield from gauge("dpl_node_memory_total_bytes", "Memory.", memory.total)
        yield from gauge(
            "dpl_node_memory_available_bytes",
            "Memory that can be had without swapping.",
            memory.available,
        )
        yield from gauge("dpl_node_memory_used_bytes", "Memory in use.", memory.used)
        yield from gauge(
            "dpl_node_memory_pressure_level",
            "What macOS says: 1 normal, 2 warn, 4 critical.",
            memory.pressure,
        )
        yield from gauge("dpl_node_swap_total_bytes", "Swap.", memory.swap_total)
        yield from gauge("dpl_node_swap_used_bytes", "Swap in use.", memory.swap_used)
        yield from counter("dpl_node_swap_in_bytes_total", "Read back from swap.", memory.swap_in)
        yield from counter("dpl_node_swap_out_bytes_total", "Written to swap.", memory.swap_out)
