"""The stack's own nodes.yaml: written anew until somebody edits it, then kept.

Beside it lies what we wrote (`written.json`): only so can an edit be told from a file of ours.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HEADER = """\
# Written by `dpl up`. Add your machines here: a change is applied within a second, and a file
# that was edited is kept at the next start. All fields: nodes.yaml in the
# repository, `dpl config schema`.
version: 1
nodes:
"""


@dataclass(frozen=True, slots=True)
class LocalNode:
    """An LLM server of this machine and the exporter beside it; base URLs."""

    name: str
    url: str
    exporter: str

    def entry(self) -> str:
        return f"  - name: {self.name}\n    url: {self.url}\n    exporter: {self.exporter}\n"

    def line(self) -> str:
        return f"- {{name: {self.name}, url: {self.url}, exporter: {self.exporter}}}"


def settle(file: Path, nodes: Sequence[LocalNode]) -> list[str]:
    """Makes `file` list `nodes`; what cannot be done without touching an edit is said."""
    memory = file.with_name("written.json")
    written, before = recall(memory)
    text = file.read_text(encoding="utf-8") if file.exists() else None
    if text is None or text == written:
        file.write_text(HEADER + "".join(node.entry() for node in nodes), encoding="utf-8")
        remember(memory, file.read_text(encoding="utf-8"), nodes)
        return []
    moved = replaced(text, moves(before, nodes))
    if moved != text:
        file.write_text(moved, encoding="utf-8")
    remember(memory, written, nodes)
    return [*told_moves(file, text, moved), *unlisted(file, moved, nodes)]


def moves(before: Sequence[LocalNode], nodes: Sequence[LocalNode]) -> dict[str, str]:
    """Addresses of ours that changed since the last start: old -> new."""
    now = {node.name: node for node in nodes}
    changed: dict[str, str] = {}
    for old in before:
        if new := now.get(old.name):
            changed |= {old.url: new.url, old.exporter: new.exporter}
    return {old: new for old, new in changed.items() if old != new}


def replaced(text: str, changed: Mapping[str, str]) -> str:
    """All at once: two nodes may have swapped ports."""
    if not changed:
        return text
    any_of = "|".join(map(re.escape, changed))
    return re.sub(rf"(?:{any_of})(?!\d)", lambda match: changed[match[0]], text)


def told_moves(file: Path, text: str, moved: str) -> list[str]:
    return [] if moved == text else [f"ports have moved: the addresses in {file} are changed"]


def unlisted(file: Path, text: str, nodes: Sequence[LocalNode]) -> list[str]:
    missing = [node for node in nodes if not mentions(text, node.url)]
    return [f"{file} does not list {node.url}; to use it add  {node.line()}" for node in missing]


def mentions(text: str, url: str) -> bool:
    return re.search(rf"{re.escape(url)}(?!\d)", text) is not None


def recall(memory: Path) -> tuple[str | None, list[LocalNode]]:
    """What was written last time; a memory that cannot be read is none."""
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        return known["text"], [LocalNode(**node) for node in known["nodes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None, []


def remember(memory: Path, text: str | None, nodes: Sequence[LocalNode]) -> None:
    known = {"text": text, "nodes": [asdict(node) for node in nodes]}
    memory.write_text(json.dumps(known, indent=1), encoding="utf-8")
