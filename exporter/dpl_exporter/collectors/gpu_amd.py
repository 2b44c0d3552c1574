"""AMD cards on Linux, from sysfs: no library is needed.

Source: the kernel's documentation of amdgpu (gpu/amdgpu/thermal, driver-misc, ras) and hwmon.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector
from dpl_exporter.collectors.gpu_card import Card, Health, Load, Power, card_families
from dpl_exporter.collectors.gpu_energy import EnergyCount
from dpl_exporter.errors import NoData

SYS = Path("/sys")
NVIDIA_CARDS = Path("/proc/driver/nvidia/gpus")
SENSORS = {"edge": "core", "junction": "hotspot", "mem": "memory"}
GENERATIONS = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}
"""Of PCIe, by GT/s."""
INTEGRATED = 2 << 30
"""Less memory of its own than this has only what is a part of the processor."""
CLOCKS = {"sm": ("freq1_input", "pp_dpm_sclk"), "memory": ("freq2_input", "pp_dpm_mclk")}


def read_cards(energy: EnergyCount, folder: Path = SYS, nvidia: Path = NVIDIA_CARDS) -> list[Card]:
    """All of amdgpu; without those in the processor where the machine has a real card, whose
    utilisation and free memory they would water down."""
    devices = [
        (card.name, card / "device")
        for card in sorted(_cards(folder), key=lambda one: int(one.name[4:]))
        if _driver(card / "device") == "amdgpu"
    ]
    real = [one for one in devices if (_number(one[1] / "mem_info_vram_total") or 0) >= INTEGRATED]
    if real or nvidia.is_dir():
        devices = real
    version = _text(folder / "module" / "amdgpu" / "version")
    return [_card(name, device, version, energy) for name, device in devices]


class AmdCollector(Collector):
    """dpl_gpu_* of AMD cards. The label `gpu` is the kernel's name, card1, as rocm-smi has it: a
    bare number is an NVIDIA card's, and a machine may have both.

    Raises: NoData where there is none at the start.
    """

    name = "gpu_amd"

    def __init__(self, read: Callable[[], Sequence[Card]]) -> None:
        self._read = read
        self._had_one = False

    def collect(self) -> Iterable[Metric]:
        cards = self._read()
        self._had_one = self._had_one or bool(cards)
        if not self._had_one:
            raise NoData("no AMD card")
        return card_families(cards)


def _cards(folder: Path) -> Iterator[Path]:
    try:
        found = list((folder / "class" / "drm").iterdir())
    except FileNotFoundError:
        return
    yield from (one for one in found if re.fullmatch(r"card\d+", one.name))


def _driver(device: Path) -> str:
    try:
        return Path(os.readlink(device / "driver")).name
    except OSError:
        return ""


def _card(name: str, device: Path, version: str, energy: EnergyCount) -> Card:
    hwmon = next(iter(sorted((device / "hwmon").glob("hwmon*"))), device / "hwmon")
    chip = _text(device / "device")
    about = {
        "uuid": _text(device / "unique_id"),
        "name": _text(device / "product_name") or f"AMD {chip}".strip(),
        "vendor": "amd",
        "driver_version": version,
        "pci_bus_id": _line(device / "uevent", "PCI_SLOT_NAME="),
    }
    busy, memory_busy = _number(device / "gpu_busy_percent"), _number(device / "mem_busy_percent")
    total, used = read_memory(device)
    return Card(
        index=name,
        about=about,
        load=Load(
            busy=_times(busy, 0.01),
            memory_busy=_times(memory_busy, 0.01),
            memory_total=total,
            memory_used=used,
        ),
        power=_power(name, device, hwmon, energy),
        health=_health(device),
    )


def read_memory(device: Path) -> tuple[float | None, float | None]:
    """(total, used). A chip in the processor computes in the machine's memory as well (GTT)."""
    parts = ["vram"]
    own = _number(device / "mem_info_vram_total")
    if own is not None and own < INTEGRATED:
        parts.append("gtt")
    totals = [_number(device / f"mem_info_{part}_total") for part in parts]
    useds = [_number(device / f"mem_info_{part}_used") for part in parts]
    return _sum(totals), _sum(useds)


def _power(name: str, device: Path, hwmon: Path, energy: EnergyCount) -> Power:
    watts = _times(_number(hwmon / "power1_average"), 1e-6)
    if watts is None:
        watts = _times(_number(hwmon / "power1_input"), 1e-6)
    speed, full = _number(hwmon / "pwm1"), _number(hwmon / "pwm1_max") or 255.0
    levels = {domain: parse_levels(_text(device / file)) for domain, (_, file) in CLOCKS.items()}
    clocks = {domain: _number(hwmon / file) for domain, (file, _) in CLOCKS.items()}
    return Power(
        energy=energy.add(name, watts),
        watts=watts,
        limit=_times(_number(hwmon / "power1_cap"), 1e-6),
        temperatures=_temperatures(hwmon),
        slowdown=_times(_number(hwmon / "temp1_crit"), 1e-3),
        clocks={
            domain: levels[domain][0] if value is None else value
            for domain, value in clocks.items()
        },
        clocks_max={domain: highest for domain, (_, highest) in levels.items()},
        fan=None if speed is None else speed / full,
    )


def _temperatures(hwmon: Path) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for file in sorted(hwmon.glob("temp*_input")):
        label = _text(hwmon / file.name.replace("_input", "_label")) or "edge"  # before Linux 5.2
        found[SENSORS.get(label, label)] = _times(_number(file), 1e-3)
    return found


def parse_levels(text: str) -> tuple[float | None, float | None]:
    """(current, highest) in hertz of `pp_dpm_sclk`: lines `1: 991Mhz *`, the star is current."""
    levels = re.findall(r"^\S+: (\d+)Mhz( \*)?", text, re.MULTILINE)
    current = [int(value) * 1e6 for value, star in levels if star]
    return next(iter(current), None), max((int(value) * 1e6 for value, _ in levels), default=None)


def _health(device: Path) -> Health:
    errors = dict(re.findall(r"^(ue|ce): (\d+)$", _text(device / "ras" / "umc_err_count"), re.M))
    bounds = ("current", "max")
    return Health(
        ecc={
            severity: float(errors[key])
            for severity, key in (("corrected", "ce"), ("uncorrected", "ue"))
            if key in errors
        },
        replays=_number(device / "pcie_replay_count"),
        link_generation={
            bound: GENERATIONS.get(_text(device / f"{bound}_link_speed").partition(" ")[0])
            for bound in bounds
        },
        link_width={bound: _number(device / f"{bound}_link_width") for bound in bounds},
    )


def _text(file: Path) -> str:
    """Empty where the card has no such file, or sleeps."""
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _number(file: Path) -> float | None:
    text = _text(file)
    return float(text) if text.isdecimal() and len(text) < 16 else None


def _line(file: Path, start: str) -> str:
    lines = [line for line in _text(file).splitlines() if line.startswith(start)]
    return lines[0].removeprefix(start) if lines else ""


def _times(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
