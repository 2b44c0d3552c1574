"""The tools of a Mac: programs called ioreg, sysctl and powermetrics that say what is told here.

The values are of an M4 Pro's kind, the shapes those of macOS 15.
"""

import plistlib
import shlex
from collections.abc import Mapping
from pathlib import Path

STATISTICS: Mapping[str, int] = {
    "Device Utilization %": 37,
    "Renderer Utilization %": 36,
    "Tiler Utilization %": 6,
    "In use system memory": 10977263616,
    "In use system memory (driver)": 0,
    "Alloc system memory": 66160230400,
}
MEMORY = 51539607552
"""48 GiB."""


def ioreg(statistics: Mapping[str, int] = STATISTICS) -> bytes:
    accelerator = {
        "IOClass": "AGXAcceleratorG16X",
        "model": b"Apple M4 Pro\0",
        "IOSourceVersion": "340.26.2",
        "gpu-core-count": 16,
        "PerformanceStatistics": dict(statistics),
    }
    return plistlib.dumps([accelerator])


def powermetrics(millijoules: int = 7261, megahertz: float = 1360.85) -> bytes:
    return plistlib.dumps(
        {
            "is_delta": True,
            "elapsed_ns": 1023721416,
            "processor": {"gpu_energy": millijoules, "gpu_power": 7092.46},
            "thermal_pressure": "Nominal",
            "gpu": {"freq_hz": megahertz, "idle_ratio": 0.05, "gpu_energy": millijoules},
        }
    )


def add_tools(
    folder: Path, *, limit_mb: int = 0, statistics: Mapping[str, int] = STATISTICS
) -> str:
    """The PATH to start a program with. powermetrics says one sample and then waits."""
    said = {
        "ioreg": ioreg(statistics),
        "sysctl": f"hw.memsize: {MEMORY}\niogpu.wired_limit_mb: {limit_mb}\n".encode(),
        "powermetrics": powermetrics() + b"\n\0",
    }
    for name, text in said.items():
        (folder / f"{name}.said").write_bytes(text)
        after = "exec sleep 20" if name == "powermetrics" else ""
        tool = folder / name
        tool.write_text(f"#!/bin/sh\ncat {shlex.quote(str(folder / f'{name}.said'))}\n{after}\n")
        tool.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"
