"""A small nodes.yaml to bend."""

from collections.abc import Mapping
from pathlib import Path

from dpl_router.inventory.load import load
from dpl_router.inventory.mistakes import InventoryError
from dpl_router.inventory.types import Inventory

GOOD = """\
version: 1
defaults: {slots: auto}
nodes:
  - name: gpu-1
    url: http://10.0.0.5:11434
    labels: {rack: a}
  - name: mac
    url: https://10.0.0.6/llm
    models: ["qwen3:*"]
    exporter: none
router:
  timeouts: {connect: 500ms, total: 1h}
  lease_ttl: 20
"""


def loaded(
    folder: Path,
    text: str | bytes,
    environ: Mapping[str, str] | None = None,
    key: str | None = None,
) -> Inventory:
    path = folder / "nodes.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(path, environ or {}, key)


def mistakes(
    folder: Path, text: str | bytes, environ: Mapping[str, str] | None = None
) -> list[str]:
    """Every line that is told, the folder cut off; [] where the file loads."""
    try:
        loaded(folder, text, environ)
    except InventoryError as error:
        return [str(mistake).removeprefix(f"{folder}/") for mistake in error.mistakes]
    return []


def node(fields: str) -> str:
    """A file with one good node and these further fields in line 5."""
    return f"version: 1\nnodes:\n  - name: a\n    url: http://10.0.0.5:1\n    {fields}\n"
