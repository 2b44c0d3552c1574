"""What the machine is, since when it runs, and its run queue."""

import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from dpl_exporter.collectors.base import Collector, gauge, info


@dataclass(frozen=True, slots=True)
class Machine:
    """`boot` in seconds since 1970; `load` over 1, 5 and 15 minutes, None where unknown."""

    os: str
    kernel: str
    arch: str
    cpu_model: str
    hostname: str
    boot: float
    load: tuple[float, float, float] | None
    system: str = ""
    """`os` as the machine spells it; this and what follows are read for `--compat` only."""
    version: str = ""
    domain: str | None = None
    """NIS domain, "(none)" where none is set; None where the system has no such thing."""


def read_machine() -> Machine:
    """Source: platform, /proc/cpuinfo, psutil.boot_time, psutil.getloadavg."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        cpuinfo = ""
    return Machine(
        os=platform.system().lower(),
        kernel=platform.release(),
        arch=platform.machine(),
        cpu_model=cpu_model(cpuinfo) or platform.processor(),
        hostname=platform.node(),
        boot=psutil.boot_time(),
        load=psutil.getloadavg() if hasattr(os, "getloadavg") or os.name == "nt" else None,
    )


def read_whole_machine() -> Machine:
    """Source: also Linux's /proc/sys/kernel/domainname, which uname(2) tells in C."""
    try:
        domain = Path("/proc/sys/kernel/domainname").read_text("utf-8", "replace").strip()
    except OSError:
        domain = None
    return replace(
        read_machine(), system=platform.system(), version=platform.version(), domain=domain
    )


def cpu_model(cpuinfo: str) -> str:
    """The first `model name` of /proc/cpuinfo; empty on ARM, which has none."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return ""


class MachineCollector(Collector):
    """dpl_node_info, boot time, load."""

    name = "machine"

    def __init__(self, read: Callable[[], Machine] = read_machine) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        machine = self._read()
        yield from info(
            "dpl_node",
            "What the machine is.",
            [
                {
                    "os": machine.os,
                    "kernel": machine.kernel,
                    "arch": machine.arch,
                    "cpu_model": machine.cpu_model,
                    "hostname": machine.hostname,
                }
            ],
        )
        yield from gauge(
            "dpl_node_boot_time_seconds", "When the machine started, since 1970.", machine.boot
        )
        for minutes, value in zip((1, 5, 15), machine.load or (), strict=False):
            text = f"Run-queue average over {minutes} min."
            yield from gauge(f"dpl_node_load{minutes}", text, value)


def node_time(wall: Callable[[], float] = time.time) -> Metric:
    """Read when the page is written and never served again, so that ages need no other clock."""
    return GaugeMetricFamily(
        "dpl_node_time_seconds", "Clock of the node when the page is written.", value=wall()
    )
