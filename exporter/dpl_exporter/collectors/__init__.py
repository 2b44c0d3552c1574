"""The table of collectors. A new one is a new file here and one line below: its word is the file's
name, the class's `name`, the flag, and a row in README.md.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dpl_exporter.collectors.base import Collector
from dpl_exporter.collectors.build import BuildCollector
from dpl_exporter.collectors.cpu import CpuCollector
from dpl_exporter.collectors.disk import DiskCollector
from dpl_exporter.collectors.filesystem import (
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
from dpl_exporter.collectors.machine import MachineCollector
from dpl_exporter.collectors.memory import MemoryCollector
from dpl_exporter.collectors.network import NetworkCollector
from dpl_exporter.collectors.nvml import Nvml
from dpl_exporter.collectors.pressure import PressureCollector
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
    "filesystem": lambda parts: _filesystem(parts.settings),
    "network": lambda parts: NetworkCollector(parts.settings.network_ignore),
    "temperature": lambda parts: TemperatureCollector(),
    "pressure": lambda parts: PressureCollector(),
    "gpu_nvidia": lambda parts: _nvidia(parts),
    "gpu_amd": lambda parts: _amd(parts.settings),
    "gpu_apple": lambda parts: _apple(parts.settings),
    "llm": lambda parts: parts.llm,
    "lease": lambda parts: LeaseCollector(
        parts.desk.facts, lambda: parts.journal.persistent, time.time
    ),
    "build": lambda parts: BuildCollector(parts.settings.environment.get("DPL_REVISION", "")),
}

BACKENDS: Mapping[str, Callable[[Settings], Backend]] = {
    "ollama": lambda settings: OllamaBackend(settings.environment, time.time),
    "llamacpp": lambda settings: LlamaCppBackend(),
    "vllm": lambda settings: VllmBackend("vllm"),
    "sglang": lambda settings: SglangBackend("sglang"),
    "lmstudio": lambda settings: LmStudioBackend("lmstudio"),
    "openai": lambda settings: OpenAiBackend("openai"),
}


def _filesystem(settings: Settings) -> Collector:
    paths = watched_paths(settings.environment, settings.filesystems)
    return FilesystemCollector(lambda: read_filesystems(paths))


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
