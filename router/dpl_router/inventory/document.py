"""A YAML file as plain values that know where they stand. Tags are refused.

Limits, since a file may be hostile: 1 MiB, 32 levels, 100,000 values after aliases are followed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dpl_router.inventory.mistakes import Mistake

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_VALUES = 100_000
MOST_TAGS = 20
"""So many are told."""
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # some builds come without libyaml
UNSEEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
PLAIN = "tag:yaml.org,2002:"

Place = tuple[str | int, ...]
"""The way from the top to a value: names of fields and indices of lists."""
Spot = tuple[int, int]
"""Line and column, from 1."""


@dataclass(slots=True)
class Document:
    """What the file holds, where its parts stand, and what is wrong with it so far."""

    file: str
    value: Any = None
    keys: dict[Place, Spot] = field(default_factory=dict)
    values: dict[Place, Spot] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    last_line: int = 1

    def wrong(self, place: Place, message: str, hint: str = "") -> None:
        """A mistake in the value at `place`, or in the nearest value around it."""
        near = place
        while near and near not in self.values:
            near = near[:-1]
        self.wrong_at(self.values.get(near, (1, 1)), place, message, hint)

    def wrong_field(self, place: Place, message: str, hint: str = "") -> None:
        """A mistake in the name of the field at `place`."""
        self.wrong_at(self.keys.get(place, (1, 1)), place, message, hint)

    def wrong_file(self, message: str, hint: str = "") -> None:
        self.mistakes.append(Mistake(self.file, None, None, "", message, hint))

    def wrong_at(self, spot: Spot, place: Place, message: str, hint: str = "") -> None:
        line, column = min(spot[0], self.last_line), spot[1]
        self.mistakes.append(Mistake(self.file, line, column, spelled(place), message, hint))


def spelled(place: Place) -> str:
    """`nodes[1].url`; a name that is no plain word is quoted."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w-]{1,60}", step):
            text += f".{step}" if text else step
        else:
            text += f"[{step[:60]!r}]"
    return text


def read(path: Path) -> Document:
    """Never raises for what is in the file: where `value` is None, `mistakes` say why."""
    document = Document(file=str(path))
    text = _text(document, path)
    if text is None:
        return document
    document.last_line = text.count("\n") + 1
    root = _compose(document, text)
    if root is not None:
        try:
            document.value = _Values(document).of(root, (), 0)
        except _TooMuch:
            document.wrong_file("its aliases unfold to too much", "write it out")
    return document


def _text(document: Document, path: Path) -> str | None:
    try:
        if path.exists() and not path.is_file():
            document.wrong_file("is a folder, not a file" if path.is_dir() else "is no plain file")
            return None
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        document.wrong_file("there is no such file")
        return None
    except (OSError, ValueError) as error:
        document.wrong_file(f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return None
    if len(data) > MAX_BYTES:
        document.wrong_file("is larger than 1 MiB")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        document.wrong_file(f"is not UTF-8 (line {line})", "save it as UTF-8")
        return None
    if not text.strip():
        document.wrong_file("is empty")
        return None
    return text


def _compose(document: Document, text: str) -> yaml.Node | None:
    unseen = UNSEEN.search(text)
    if unseen is not None:
        start = unseen.start()
        spot = (text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))
        document.wrong_at(spot, (), f"the invisible character U+{ord(unseen[0]):04X} stands here")
        return None
    try:
        if not _plain(document, text):
            return None
        root: yaml.Node | None = yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = _spot(mark) if mark is not None else (1, 1)
        document.wrong_at(spot, (), f"no YAML: {error.problem}", _syntax_hint(text, spot))
        return None
    except yaml.YAMLError as error:
        document.wrong_file(f"no YAML: {' '.join(str(error).split())}")
        return None
    if root is None:
        document.wrong_file("holds nothing but comments")
    return root


def _plain(document: Document, text: str) -> bool:
    """Not too deep, and without tags. Asked of the flat events first: the composer recurses, and
    what it makes of a tag and a value that do not belong together is anybody's guess."""
    depth, tags = 0, 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            document.wrong_file(f"is nested more than {MAX_DEPTH} levels deep")
            return False
        tag = getattr(event, "tag", None)
        if tag is not None and tags < MOST_TAGS:
            tags += 1
            shown = repr(tag.replace(PLAIN, "!!")[:60])
            spot = _spot(event.start_mark)
            document.wrong_at(
                spot, (), f"the tag {shown} is not for this file", "leave it out; quote text"
            )
    return not tags


def _spot(mark: Any) -> Spot:
    return mark.line + 1, mark.column + 1


def _syntax_hint(text: str, spot: Spot) -> str:
    lines = text.split("\n")
    line = lines[spot[0] - 1] if spot[0] <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab indents this line; YAML wants spaces"
    if ": " in line.partition(": ")[2]:
        return "text that holds a colon and a blank wants quotes"
    return "look at the indentation and brackets here and in the line before"


class _TooMuch(Exception):
    """Aliases can say much in few bytes, or contain themselves."""


class _Values:
    """Nodes -> values, with the place of each; follows aliases within the limits."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0

    def of(self, node: yaml.Node, place: Place, depth: int) -> Any:
        self._count += 1
        self._document.values[place] = _spot(node.start_mark)
        if self._count > MAX_VALUES or depth > MAX_DEPTH:
            raise _TooMuch
        if isinstance(node, yaml.MappingNode):
            return {
                key: self.of(value, (*place, key), depth + 1)
                for key, value in self._pairs(node, place)
            }
        if isinstance(node, yaml.SequenceNode):
            return [self.of(item, (*place, at), depth + 1) for at, item in enumerate(node.value)]
        return self._scalar(node, place)

    def _pairs(self, node: yaml.MappingNode, place: Place) -> Iterator[tuple[str, yaml.Node]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == PLAIN + "merge":
                self._document.wrong_at(
                    _spot(key.start_mark), place, "a field's name must be plain text"
                )
                continue
            name = str(key.value)
            spot = _spot(key.start_mark)
            if name in seen:
                self._document.wrong_at(
                    spot, (*place, name), f"stands twice, first in line {seen[name]}"
                )
                continue
            seen[name] = spot[0]
            self._document.keys[(*place, name)] = spot
            yield name, value

    def _scalar(self, node: yaml.Node, place: Place) -> Any:
        text = str(node.value)
        kind = node.tag.removeprefix(PLAIN)
        if kind in {"str", "timestamp"}:
            if not text.isprintable():
                self._document.wrong(place, "must be one line without invisible characters")
            return text
        if kind not in {"int", "float", "bool", "null"}:
            self._document.wrong(place, f"the tag {node.tag[:60]!r} is not for this file")
            return None
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (ValueError, OverflowError):
            self._document.wrong(place, f"{text[:40]!r} is no number", "put text in quotes")
            return None
