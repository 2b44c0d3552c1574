"""A /proc with what collectors read there themselves, as Linux has it: true on every machine."""

from collections.abc import Mapping
from pathlib import Path

STALLED = """\
some avg10=0.00 avg60=1.25 avg300=0.40 total=1500000
full avg10=0.00 avg60=0.00 avg300=0.00 total=250000
"""
FILES: Mapping[str, str] = {
    "pressure/cpu": STALLED,
    "pressure/memory": STALLED,
    "pressure/io": STALLED,
}
"""Path below /proc -> what it says."""


def add_proc(folder: Path, files: Mapping[str, str] = FILES) -> Path:
    """The new /proc."""
    for name, text in files.items():
        file = folder / "proc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "ascii")
    return folder / "proc"
