"""Memory and swap. On Apple Silicon the memory is the GPU's as well."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector, counter, gauge

SYSCTL = ("/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level")
VM_STAT = ("/usr/bin/vm_stat",)
FIELD = re.compile(r"^(\w+): +(\d+) kB$", re.MULTILINE)
PAGE = re.compile(r"page size of (\d+) bytes")
PAGES = re.compile(r"^(Pages [a-z ]+|Anonymous pages|Pageins|Pageouts): +(\d+)\.$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes; `pressure` is 1 normal, 2 warn, 4 critical, None but on macOS."""

    total: int
    available: int
    used: int
    swap_total: int
    swap_used: int
    swap_in: int | None
    swap_out: int | None
    """None on macOS, where psutil says what was paged from and to files, and on Windows (0)."""
    pressure: int | None = None
    fields: Mapping[str, int] = field(default_factory=dict)
    """Bytes, under the names of /proc/meminfo or vm_stat; read for `--compat` only."""


def read_memory(platform: str = sys.platform) -> Memory:
    """Source: psutil.virtual_memory, psutil.swap_memory; macOS: sysctl."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    counts = platform not in ("darwin", "win32")
    return Memory(
        total=memory.total,
        available=memory.available,
        used=memory.used,
        swap_total=swap.total,
        swap_used=swap.used,
        swap_in=swap.sin if counts else None,
        swap_out=swap.sout if counts else None,
        pressure=_read_pressure() if platform == "darwin" else None,
    )


def read_whole_memory() -> Memory:
    """With `fields`, since psutil has its own ideas of `free` and `cached`; Windows has none.

    Source: also /proc/meminfo; macOS: vm_stat.
    """
    fields: Mapping[str, int] = {}
    if sys.platform == "linux":
        fields = parse_meminfo(Path("/proc/meminfo").read_text("ascii"))
    elif sys.platform == "darwin":
        fields = parse_vm_stat(_said(VM_STAT))
    return replace(read_memory(), fields=fields)


def parse_meminfo(text: str) -> dict[str, int]:
    """Source: Linux, filesystems/proc; its kB are 1024 bytes."""
    return {name: 1024 * int(value) for name, value in FIELD.findall(text)}


def parse_vm_stat(text: str) -> dict[str, int]:
    """Its counts of pages; empty where it says no page size. Source: macOS, vm_stat(1)."""
    size = PAGE.search(text)
    if size is None:
        return {}
    return {name: int(size[1]) * int(pages) for name, pages in PAGES.findall(text)}


def _read_pressure() -> int | None:
    try:
        return int(_said(SYSCTL))
    except ValueError:
        return None


def _said(command: tuple[str, ...]) -> str:
    """What a tool of the system prints; empty where it fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=0.15, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout


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
