"""The GPU of a Mac, from what its own tools print; no root is needed.

`ioreg` tells utilisation and memory in use, `sysctl` how much of the machine's memory it may have.
Nothing tells processes, ECC, temperature or PCIe there.
"""

import plistlib
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from xml.parsers.expat import ExpatError

from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector
from dpl_exporter.collectors.gpu_card import Card, Load, Power, card_families
from dpl_exporter.errors import Failed, NoData

IOREG = ("ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator", "-a")
SYSCTL = ("sysctl", "hw.memsize", "iogpu.wired_limit_mb")
PATIENCE = 0.35
"""Seconds for one of them; the page waits 0.4."""

Run = Callable[[Sequence[str]], bytes]


def run_tool(command: Sequence[str]) -> bytes:
    """What it printed, also where it failed in part.

    Raises: FileNotFoundError where there is no such tool; Failed where it hangs or is refused.
    """
    try:
        return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).stdout
    except FileNotFoundError:
        raise
    except (OSError, subprocess.SubprocessError) as error:
        raise Failed(f"{command[0]}: {error}") from None


def read_cards(run: Run = run_tool) -> list[Card]:
    """Raises: NoData where this is no Mac; Failed."""
    try:
        said = run(IOREG)
    except FileNotFoundError:
        raise NoData("no ioreg here") from None
    accelerators = parse_ioreg(said)
    try:
        memory = parse_sysctl(run(SYSCTL).decode("ascii", "replace"))
    except FileNotFoundError:
        memory = None
    return [_card(str(i), one, memory) for i, one in enumerate(accelerators)]


def parse_ioreg(said: bytes) -> list[Mapping[str, Any]]:
    """The accelerators that tell statistics. Raises: Failed where that is no property list."""
    if not said.strip():
        return []
    try:
        found = read_plist(said)
    except ValueError as error:
        raise Failed(f"ioreg said no property list: {error}") from None
    listed = found if isinstance(found, list) else [found]
    return [one for one in listed if isinstance(one, dict) and "PerformanceStatistics" in one]


def read_plist(said: bytes) -> Any:
    """Raises: ValueError for whatever is none."""
    try:
        return plistlib.loads(said)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, ExpatError) as error:
        raise ValueError(str(error)) from None  # plistlib lets all of these through


def parse_sysctl(said: str) -> int | None:
    """Bytes that the GPU may have: the limit where one is set (0 is none), else all memory."""
    values = {name: int(value) for name, value in re.findall(r"^(\S+): (\d+)$", said, re.MULTILINE)}
    total, limit = values.get("hw.memsize"), values.get("iogpu.wired_limit_mb", 0) << 20
    return min(total, limit) if total and limit else total


def _card(index: str, accelerator: Mapping[str, Any], memory: int | None) -> Card:
    statistics = accelerator["PerformanceStatistics"]
    busy = _whole(statistics, "Device Utilization %")
    return Card(
        index=index,
        about={
            "name": _name(accelerator.get("model")),
            "vendor": "apple",
            "driver_version": _name(accelerator.get("IOSourceVersion")),
        },
        load=Load(
            busy=busy / 100 if busy is not None and busy <= 100 else None,
            memory_total=memory,
            memory_used=_whole(statistics, "In use system memory"),
        ),
    )


def _whole(statistics: Any, name: str) -> int | None:
    value = statistics.get(name) if isinstance(statistics, dict) else None
    return value if isinstance(value, int) and 0 <= value < 1 << 50 else None


def _name(value: object) -> str:
    """A string, or bytes that end in a zero."""
    if isinstance(value, bytes):
        return value.partition(b"\0")[0].decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


class AppleCollector(Collector):
    """dpl_gpu_* of a Mac; with `power` (see gpu_powermetrics) energy, power and clock as well.

    Raises: NoData where there is no GPU at the start; Failed.
    """

    name = "gpu_apple"

    def __init__(
        self,
        read: Callable[[], Sequence[Card]] = read_cards,
        power: Callable[[], Power] = Power,
    ) -> None:
        self._read = read
        self._power = power
        self._had_one = False

    def collect(self) -> Iterable[Metric]:
        cards = self._read()
        self._had_one = self._had_one or bool(cards)
        if not self._had_one:
            raise NoData("no GPU in what ioreg says")
        if not cards:
            return []
        try:
            power = self._power()
        except Failed as error:
            raise Failed(error.message, tuple(card_families(cards))) from None
        first, *others = cards
        powered = Card(index=first.index, about=first.about, load=first.load, power=power)
        return card_families([powered, *others])
