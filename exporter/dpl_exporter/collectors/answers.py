"""Picking values out of JSON that somebody else wrote: a wrong type is as good as absent."""

import math
from collections.abc import Mapping

MOST_ROWS = 100
"""Models of one server that get series; more would burst the page's budget."""


def part(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    """The object at `key`; empty where there is none."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def rows(document: object, key: str | None = None) -> list[Mapping[str, object]]:
    """The objects in the list at `key` (or in the document itself), at most 100."""
    value = document.get(key) if key is not None and isinstance(document, dict) else document
    found: list[Mapping[str, object]] = []
    for row in value if isinstance(value, list) else []:
        if isinstance(row, dict):
            found.append(row)
    return found[:MOST_ROWS]


def text(document: Mapping[str, object], key: str) -> str:
    """The text at `key`; empty where there is none."""
    value = document.get(key)
    return value if isinstance(value, str) else ""


def number(document: Mapping[str, object], key: str) -> float | None:
    """The finite number at `key`."""
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def whole(document: Mapping[str, object], key: str) -> int | None:
    """The whole number at `key`."""
    value = number(document, key)
    return int(value) if value is not None and value == int(value) else None
