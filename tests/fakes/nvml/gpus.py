"""NVIDIA cards that are not there: the library of nvml.c, for a process that is started with it.

The facts are of the cards' kind (RTX 4090, H100 with MIG), the values made up.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml.c")
Facts = dict[str, object]

RTX_4090: Mapping[str, object] = {
    "name": "NVIDIA GeForce RTX 4090",
    "uuid": "GPU-11111111-2222-3333-4444-000000000000",
    "pci": "00000000:01:00.0",
    "memory": "25757220864 458752000 11000000000",
    "rates": "40 12",
    "samples": "1000000:10 9000000:50 10000000:70",
    "power": 220500,
    "power_limit": 450000,
    "energy": 123456789,
    "temperature": 61,
    "threshold.1": 90,
    "clock.1": 2520,
    "clock.2": 10501,
    "clock_max.1": 3105,
    "clock_max.2": 10501,
    "field.74": "l 5000000000",
    "field.76": "l 0",
    "field.269": "l 1500000000",
    "field.270": "l 250000000",
    "field.271": "l 0",
    "field.230": "u 0",
    "reasons": 0x24,
    "event_types": 0x1D,
    "replays": 3,
    "link_generation": 1,
    "link_generation_max": 4,
    "link_width": 16,
    "link_width_max": 16,
    "throughput.0": 2000,
    "throughput.1": 5000,
    "fans": 2,
    "fan.0": 40,
    "fan.1": 45,
    "pstate": 2,
    "compute": "",
    "graphics": "",
}
H100_MIG: Mapping[str, object] = {
    **{key: RTX_4090[key] for key in ("event_types", "replays", "compute", "graphics")},
    "name": "NVIDIA H100 80GB HBM3",
    "uuid": "GPU-99999999-2222-3333-4444-000000000000",
    "pci": "00000000:DB:00.0",
    "memory": "85520809984 600000000 14000000000",
    "power": 115600,
    "power_limit": 700000,
    "energy": 987654321000,
    "temperature": 33,
    "field.82": "u 45",
    "field.230": "u 0",
    "threshold.1": 87,
    "clock.1": 1980,
    "clock.2": 2619,
    "clock_max.1": 1980,
    "clock_max.2": 2619,
    "violation.0": 1000000000,
    "violation.1": 2000000000,
    "throttle_reasons": 0x1,
    "ecc.0": 2,
    "ecc.1": 0,
    "remapped": "1 0 1 0",
    "link_generation": 5,
    "link_generation_max": 5,
    "link_width": 16,
    "link_width_max": 16,
    "pstate": 0,
    "mig": 1,
    "mig_most": 7,
    "mig0.instance": 1,
    "mig0.memory": "42949672960 0 13000000000",
    "mig1.instance": 1,
    "mig1.memory": "42949672960 0 13000000000",
    "mig2.instance": 5,
    "mig2.memory": "21474836480 0 30000000",
}


def compile_library(folder: Path) -> Path:
    """Raises: FileNotFoundError where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FileNotFoundError("no C compiler: sudo apt-get install gcc libc6-dev")
    library = folder / "libnvidia-ml.so.1"
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Werror")
    subprocess.run([compiler, *flags, "-o", library, SOURCE], check=True, timeout=60)
    return library


class FakeGpus:
    """What the library says, changed while the process that loaded it runs."""

    def __init__(self, folder: Path, *cards: Mapping[str, object]) -> None:
        self.control = folder / "gpus"
        self.environ = {
            "LD_LIBRARY_PATH": str(compile_library(folder).parent),
            "FAKE_NVML": str(self.control),
        }
        self._lines: Facts = {"driver": "595.71.05", "cuda": 13010, "cards": len(cards)}
        for number, facts in enumerate(cards):
            self._lines |= {f"{number}.{key}": value for key, value in facts.items()}
        self.say({})

    def say(self, changes: Mapping[str, object | None]) -> None:
        """`{"0.power": 30000}`; None takes a line away. The file changes as a whole."""
        self._lines |= changes
        self._lines = {key: value for key, value in self._lines.items() if value is not None}
        text = "".join(f"{key} {value}\n" for key, value in self._lines.items())
        new = self.control.with_suffix(".new")
        new.write_text(text, "ascii")
        os.replace(new, self.control)

    def raise_xid(self, number: int, card: int, xid: int) -> None:
        """`number` must rise from event to event."""
        self.say({"event": f"{number} {card} {xid}"})

    def starts(self) -> list[str]:
        """`init` and `shutdown`, as they were called."""
        return self.control.with_suffix(".log").read_text("ascii").split()
