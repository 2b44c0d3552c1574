"""What recorded tools said of GPUs, laid before the exporter's collectors as their source would:
nvidia-smi's readings become cards of the fake NVML, rocm-smi's a tree of sysfs.

For `make recordings`; a reading that is no number (`[N/A]`, a sentence) is one the card lacks.
"""

import csv
import json
import plistlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from dpl_exporter.collectors.gpu_amd import AmdCollector, read_cards
from dpl_exporter.collectors.gpu_apple import AppleCollector
from dpl_exporter.collectors.gpu_apple import read_cards as read_apple
from dpl_exporter.collectors.gpu_energy import EnergyCount
from dpl_exporter.collectors.gpu_powermetrics import parse_sample
from tests.exporter.process import running
from tests.fakes.amd import add_card
from tests.fakes.nvml.gpus import FakeGpus

MIB = 1 << 20
NUMBER = re.compile(r"(0x[0-9a-fA-F]+|\d+(?:\.\d+)?)(?:x| ?(?:MiB|W|MHz|%|us|C|KB/s|J|MJ))?")
XML_PATHS = {
    "name": ("product_name",),
    "uuid": ("uuid",),
    "pci.bus_id": ("pci/pci_bus_id",),
    "fan.speed": ("fan_speed",),
    "pstate": ("performance_state",),
    "memory.total": ("fb_memory_usage/total",),
    "memory.reserved": ("fb_memory_usage/reserved",),
    "memory.used": ("fb_memory_usage/used",),
    "utilization.gpu": ("utilization/gpu_util",),
    "utilization.memory": ("utilization/memory_util",),
    "temperature.gpu": ("temperature/gpu_temp",),
    "temperature.memory": ("temperature/memory_temp",),
    "power.draw": (
        "power_readings/power_draw",
        "gpu_power_readings/power_draw",
        "gpu_power_readings/average_power_draw",
    ),
    "enforced.power.limit": ("power_readings/enforced_power_limit", "power_readings/power_limit"),
    "clocks.current.sm": ("clocks/sm_clock",),
    "clocks.current.memory": ("clocks/mem_clock",),
    "clocks.max.sm": ("max_clocks/sm_clock",),
    "pcie.link.gen.max": ("pci/pci_gpu_link_info/pcie_gen/max_link_gen",),
    "pcie.link.width.max": ("pci/pci_gpu_link_info/link_widths/max_link_width",),
}
FACTS = {
    "fan.speed": ("fan", 1.0),
    "temperature.gpu": ("temperature", 1.0),
    "power.draw": ("power", 1000.0),
    "enforced.power.limit": ("power_limit", 1000.0),
    "clocks.current.sm": ("clock.1", 1.0),
    "clocks.current.memory": ("clock.2", 1.0),
    "clocks.max.sm": ("clock_max.1", 1.0),
    "clocks.max.memory": ("clock_max.2", 1.0),
    "clocks_event_reasons.active": ("reasons", 1.0),
    "pcie.link.gen.current": ("link_generation", 1.0),
    "pcie.link.gen.max": ("link_generation_max", 1.0),
    "pcie.link.width.current": ("link_width", 1.0),
    "pcie.link.width.max": ("link_width_max", 1.0),
    "ecc.errors.corrected.volatile.total": ("ecc.0", 1.0),
    "ecc.errors.uncorrected.volatile.total": ("ecc.1", 1.0),
}
"""nvidia-smi's name of a reading: the fake's, and what makes NVML's unit of it."""
FIELDS = {
    "temperature.memory": (82, 1.0),
    "clocks_event_reasons_counters.sw_power_cap": (74, 1000.0),
    "clocks_event_reasons_counters.sync_boost": (76, 1000.0),
    "clocks_event_reasons_counters.sw_thermal_slowdown": (269, 1000.0),
    "clocks_event_reasons_counters.hw_thermal_slowdown": (270, 1000.0),
    "clocks_event_reasons_counters.hw_power_brake_slowdown": (271, 1000.0),
}
AMD_FILES = {
    "GPU use (%)": ("gpu_busy_percent", 1),
    "VRAM Total Memory (B)": ("mem_info_vram_total", 1),
    "VRAM Total Used Memory (B)": ("mem_info_vram_used", 1),
    "PCIe Replay Count": ("pcie_replay_count", 1),
    "Temperature (Sensor edge) (C)": ("hwmon/hwmon0/temp1_input", 1000),
    "Average Graphics Package Power (W)": ("hwmon/hwmon0/power1_average", 1_000_000),
    "Max Graphics Package Power (W)": ("hwmon/hwmon0/power1_cap", 1_000_000),
}

Readings = Mapping[str, str]


def number(text: str) -> float | None:
    match = NUMBER.fullmatch(text.strip())
    return None if match is None else float(int(match[1], 16) if "x" in match[1] else match[1])


def nvidia_xml(file: Path) -> Iterator[Metric]:
    """`nvidia-smi -q -x`."""
    log = ElementTree.parse(file).getroot()
    rows = []
    for gpu in log.iter("gpu"):
        found = {
            name: next((text for path in paths if (text := gpu.findtext(path))), "")
            for name, paths in XML_PATHS.items()
        }
        rows.append(found)
    yield from exported(rows)


def nvidia_csv(file: Path) -> Iterator[Metric]:
    """`nvidia-smi --query-gpu=… --format=csv`, alone or in a capture of many commands."""
    lines = file.read_text("utf-8", "replace").splitlines()
    for start, line in enumerate(lines):
        names = [re.sub(r" \[.*\]$", "", name) for name in line.split(", ")]
        if {"memory.used", "uuid"} <= set(names) or {"memory.used", "temperature.gpu"} <= set(
            names
        ):
            rows = []
            for row in csv.reader(lines[start + 1 :], skipinitialspace=True):
                if len(row) != len(names):
                    break
                rows.append(dict(zip(names, row, strict=True)))
            yield from exported(rows)
            return
    raise ValueError("no table with memory.used in it")


def exported(rows: list[dict[str, str]]) -> Iterator[Metric]:
    """What a real exporter says of cards with these readings."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gpus = FakeGpus(folder, *(card_facts(row) for row in rows))
        environ = {**gpus.environ, "DPL_SYSFS": name}
        with running(folder, "--no-collector.llm", **environ) as exporter:
            exporter.page()
            page = exporter.metrics()
    for family in text_string_to_metric_families(page):
        if family.name.startswith("dpl_gpu"):
            yield family


def card_facts(row: Readings) -> dict[str, object]:
    told = {name: value for name, text in row.items() if (value := number(text)) is not None}
    facts: dict[str, object] = {"name": row.get("name", "?"), "compute": "", "graphics": ""}
    facts |= {"uuid": row.get("uuid", ""), "pci": row.get("pci.bus_id", "")}
    for name, (key, unit) in FACTS.items():
        if name in told:
            facts[key] = round(told[name] * unit)
    for name, (field, unit) in FIELDS.items():
        if name in told:
            facts[f"field.{field}"] = f"l {round(told[name] * unit)}"
    if "memory.total" in told:
        sizes = [told.get(f"memory.{part}", 0.0) for part in ("total", "reserved", "used")]
        facts["memory"] = " ".join(str(round(size * MIB)) for size in sizes)
    rates = [told.get(f"utilization.{part}") for part in ("gpu", "memory")]
    if None not in rates:
        facts["rates"] = " ".join(str(round(rate or 0.0)) for rate in rates)
    if match := re.fullmatch(r"P(\d+)", row.get("pstate", "")):
        facts["pstate"] = match[1]
    return facts


def amd_of(sysfs: Path) -> list[Metric]:
    energy = EnergyCount(lambda: 0.0)
    return list(AmdCollector(lambda: read_cards(energy, sysfs, sysfs / "-")).collect())


def rocm_smi(file: Path) -> Iterator[Metric]:
    """`rocm-smi -a --json`: every value is text."""
    with tempfile.TemporaryDirectory() as folder:
        for key, card in json.loads(file.read_text("utf-8")).items():
            if match := re.fullmatch(r"card(\d+)", key):
                files = {
                    name: str(round(value * unit))
                    for said, (name, unit) in AMD_FILES.items()
                    if (value := number(str(card.get(said, "")))) is not None
                }
                add_card(Path(folder), int(match[1]), files)
        yield from amd_of(Path(folder))


def ttar(file: Path) -> Iterator[Metric]:
    """A tree of sysfs as prometheus/procfs keeps it: Path, Lines, the text."""
    with tempfile.TemporaryDirectory() as folder:
        lines = iter(file.read_text("utf-8", "replace").splitlines())
        for line in lines:
            name = line.removeprefix("Path: fixtures/sys/")
            if name == line:
                continue
            place = Path(folder) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            what, _, value = next(lines).partition(": ")
            if what == "SymlinkTo":
                place.symlink_to(value)
            else:
                place.write_text("".join(f"{next(lines)}\n" for _ in range(int(value))), "utf-8")
        yield from amd_of(Path(folder))


def apple_ioreg(file: Path) -> Iterator[Metric]:
    """The listing that ioreg prints without -a, of one accelerator."""
    text = file.read_text("utf-8", "replace")
    listed = re.search(r'"PerformanceStatistics" = \{(.*?)\}', text)
    model = re.search(r'"model" = "(.*?)"', text)
    pairs = re.findall(r'"([^"]+)"=(\d+)', listed[1] if listed else "")
    accelerator = {
        "model": model[1] if model else "",
        "PerformanceStatistics": {name: int(value) for name, value in pairs},
    }
    said = {"ioreg": plistlib.dumps([accelerator]), "sysctl": b"hw.memsize: 51539607552\n"}
    yield from AppleCollector(lambda: read_apple(lambda command: said[command[0]])).collect()


def apple_powermetrics(file: Path) -> Iterator[Metric]:
    """`powermetrics -f plist`."""
    sample = parse_sample(file.read_bytes())
    told = {"clock_hertz": sample.clock, "power_watts": sample.watts}
    for name, value in told.items():
        family = Metric(f"dpl_gpu_{name}", "As in the recording.", "gauge")
        if value is not None:
            family.add_sample(family.name, {}, value)
        yield family
