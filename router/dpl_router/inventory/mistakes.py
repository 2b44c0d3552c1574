"""One line for each thing that is wrong in a file: where, what, and what to write instead."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dpl_router.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Mistake:
    """`line` and `column` count from 1; None where the file as a whole is meant."""

    file: str
    line: int | None
    column: int | None
    path: str
    """Like `nodes[1].url`; empty = the whole file."""
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        return f"{place}{'' if self.path else ':'} {self.path}{' ' * bool(self.path)}{self.text}"

    @property
    def text(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class FileError(ConfigError):
    """A configuration file is wrong. `mistakes` are all of them, in the order of the file."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda one: (one.line or 0, one.column or 0)))
        super().__init__("\n".join(map(str, self.mistakes)))


class InventoryError(FileError):
    """nodes.yaml is wrong. `files` are those that it names: to mend one of them may be enough."""

    def __init__(self, mistakes: Sequence[Mistake], files: Iterable[Path] = ()) -> None:
        super().__init__(mistakes)
        self.files = frozenset(files)


def as_json(mistakes: Iterable[Mistake], notes: Iterable[str]) -> str:
    found = [asdict(one) for one in mistakes]
    return json.dumps({"ok": not found, "mistakes": found, "notes": list(notes)}, indent=2)


def as_github(mistake: Mistake) -> str:
    """A workflow command that GitHub shows beside the line."""
    place = f"file={_escaped(mistake.file, ',:')}"
    if mistake.line is not None:
        place += f",line={mistake.line},col={mistake.column}"
    return f"::error {place}::{_escaped(f'{mistake.path} {mistake.text}'.strip(), '')}"


def _escaped(text: str, more: str) -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
