"""The table of collectors. A new one is a new file here and one line below: its word is the file's
name, the class's `name`, the flag, and a row in README.md.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dpl_exporter.collectors import node_exporter as words
from dpl_exporter.collectors.base import Collector
from dpl_exporter.collectors.bilingual import Bilingual
from dpl_exporter.collectors.build import BuildCollector
from dpl_exporter.collectors.cpu import CpuCollector, Forward, read_each_cpu
from dpl_exporter.collectors.disk import DiskCollector, read_disks
from dpl_exporter.collectors.filesystem import (
    Filesystem,
    FilesystemCollector,
    read_filesystems,
    watched_paths,
)
from dpl_exporter.collectors.gpu_amd import AmdCollector, read_cards
from dpl_exporter.collectors.gpu_apple import AppleCollector
from dpl_exporter.collectors.gpu_card import Power
from dpl_exporter.collectors.gpu_energy import EnergyCount
from dpl_exporter.collectors.gpu_nvidia import NvidiaCollector, NvidiaReader
from dpl_exporter.collectors.gpu_nvidia_events import XidWatch
from dpl_exporter.collectors.gpu_nvidia_health import no_rates, read_rates
from dpl_exporter.collectors.gpu_powermetrics import PowerMetrics
from dpl_exporter.collectors.gpu_processes import Owners
from dpl_exporter.collectors.lease import LeaseCollector
from dpl_exporter.collectors.llm import Backend, LlmCollector
from dpl_exporter.collectors.llm_llamacpp import LlamaCppBackend
from dpl_exporter.collectors.llm_ollama import OllamaBackend
from dpl_exporter.collectors.llm_openai import (
    LmStudioBackend,
    OpenAiBackend,
    SglangBackend,
    VllmBackend,
)
from dpl_exporter.collectors.machine import MachineCollector, read_whole_machine
from dpl_exporter.collectors.memory import MemoryCollector, read_whole_memory
from dpl_exporter.collectors.network import NetworkCollector, read_devices
from dpl_exporter.collectors.nvml import Nvml
from dpl_exporter.collectors.pressure import PressureCollector, read_pressure
from dpl_exporter.collectors.temperature import TemperatureCollector
from dpl_exporter.desk import LeaseDesk
from dpl_exporter.journal import Journal
from dpl_exporter.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """What collectors may be made from."""

    settings: Settings
    desk: LeaseDesk
    journal: Journal
    llm: LlmCollector


COLLECTORS: Mapping[str, Callable[[Parts], Collector]] = {
    "machine": lambda parts: MachineCollector(),
    "cpu": lambda parts: CpuCollector(),
    "memory": lambda parts: MemoryCollector(),
    "disk": lambda parts: DiskCollector(),
    "filesystem": lambda parts: FilesystemCollector(_filesystems(parts.settings)),
    "network": lambda parts: NetworkCollector(parts.settings.network_ignore),
    "temperature": lambda parts: TemperatureCollector(),
    "pressure": lambda parts: PressureCollector(partial(read_pressure, _proc(parts.settings))),
    "gpu_nvidia": lambda parts: _nvidia(parts),
    "gpu_amd": lambda parts: _amd(parts.settings),
    "gpu_apple": lambda parts: _apple(parts.settings),
    "llm": lambda parts: parts.llm,
    "lease": lambda parts: LeaseCollector(
        parts.desk.facts, lambda: parts.journal.persistent, time.time
    ),
    "build": lambda parts: BuildCollector(parts.settings.environment.get("DPL_REVISION", "")),
}

NODE_EXPORTER: Mapping[str, Callable[[Parts], Collector]] = {
    "machine": lambda parts: Bilingual(
        MachineCollector, read_whole_machine, partial(words.machine_words, wall=time.time)
    ),
    "cpu": lambda parts: Bilingual(
        CpuCollector, read_each_cpu, partial(words.cpu_words, forward=Forward())
    ),
    "memory": lambda parts: Bilingual(
        MemoryCollector, read_whole_memory, partial(words.memory_words, platform=sys.platform)
    ),
    "disk": lambda parts: Bilingual(DiskCollector, read_disks, words.disk_words),
    "filesystem": lambda parts: Bilingual(
        FilesystemCollector, _filesystems(parts.settings), words.filesystem_words
    ),
    "network": lambda parts: Bilingual(
        partial(NetworkCollector, parts.settings.network_ignore),
        read_devices,
        partial(words.network_words, ignore=parts.settings.network_ignore),
    ),
    "pressure": lambda parts: Bilingual(
        PressureCollector, partial(read_pressure, _proc(parts.settings)), words.pressure_words
    ),
}
"""In place of those above with `--compat=node_exporter`."""

BACKENDS: Mapping[str, Callable[[Settings], Backend]] = {
    "ollama": lambda settings: OllamaBackend(settings.environment, time.time),
    "llamacpp": lambda settings: LlamaCppBackend(),
    "vllm": lambda settings: VllmBackend("vllm"),
    "sglang": lambda settings: SglangBackend("sglang"),
    "lmstudio": lambda settings: LmStudioBackend("lmstudio"),
    "openai": lambda settings: OpenAiBackend("openai"),
}


def made(parts: Parts) -> list[Collector]:
    """Those that the settings want."""
    settings = parts.settings
    makers = {**COLLECTORS, **(NODE_EXPORTER if settings.compat else {})}
    return [make(parts) for name, make in makers.items() if name in settings.collectors]


def _proc(settings: Settings) -> Path:
    """Where /proc is, for collectors that read there themselves."""
    return Path(settings.environment.get("DPL_PROC", "/proc"))


def _filesystems(settings: Settings) -> Callable[[], Sequence[Filesystem]]:
    paths = watched_paths(settings.environment, settings.filesystems)
    return lambda: read_filesystems(paths)


def _nvidia(parts: Parts) -> Collector:
    nvml = Nvml()
    watch = XidWatch(nvml, time.time)
    reader = NvidiaReader(
        nvml,
        watch,
        monotonic=time.monotonic,
        owners=Owners(parts.llm.server_pids),
        rates=read_rates if parts.settings.gpu_pcie_throughput else no_rates,
    )
    return NvidiaCollector(reader.read, watch.families)


def _amd(settings: Settings) -> Collector:
    energy = EnergyCount(time.monotonic)
    folder = Path(settings.environment.get("DPL_SYSFS", "/sys"))
    return AmdCollector(lambda: read_cards(energy, folder))


def _apple(settings: Settings) -> Collector:
    power = PowerMetrics(time.monotonic).read if settings.gpu_powermetrics else Power
    return AppleCollector(power=power)
