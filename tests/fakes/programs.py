"""Where the real programs are that tests start."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEBIAN_NAMES = {
    "alertmanager": "prometheus-alertmanager",
    "node_exporter": "prometheus-node-exporter",
}


def find_program(name: str) -> str:
    """On PATH, else unpacked in `.parts` (or DPL_PARTS_DIR), as `make test` leaves them there.

    Raises: FileNotFoundError, which says how to get it.
    """
    parts = Path(os.environ.get("DPL_PARTS_DIR", ROOT / ".parts")) / "usr" / "bin"
    for candidate in (name, DEBIAN_NAMES.get(name, name)):
        found = shutil.which(candidate) or shutil.which(candidate, path=str(parts))
        if found:
            return found
    raise FileNotFoundError(
        f"{name} is neither on PATH nor in {parts}. To fetch it (and no more than the programs): "
        ".venv/bin/dpl stack fetch --parts-dir .parts"
    )
