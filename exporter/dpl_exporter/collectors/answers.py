"""Picking values out of JSON that somebody else wrote: a wrong type is as good as absent."""

from collections.abc import Mapping

MOST_ROWS = 100
"""Models of one server that get series; more would burst the page's budget."""
MOST_LISTED = 2000
"""Models of one server that are looked at, to choose those from."""
GREATEST = 2.0**53
"""Beyond it no count of bytes, tokens or requests is true, nor exact."""


def part(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    """The object at `key`; empty where there is none."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def rows(
    document: object, key: str | None = None, most: int = MOST_ROWS
) -> list[Mapping[str, object]]:
    """The objects in the list at `key` (or in the document itself), at most `most`."""
    value = document.get(key) if key is not None and isinstance(document, dict) else document
    found: list[Mapping[str, object]] = []
    for row in value if isinstance(value, list) else []:
        if isinstance(row, dict):
            found.append(row)
    return found[:most]


def text(document: Mapping[str, object], key: str) -> str:
    """The text at `key`; empty where there is none."""
    value = document.get(key)
    return value if isinstance(value, str) else ""


def number(document: Mapping[str, object], key: str) -> float | None:
    """The number at `key`; None where it can't be true."""
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return plausible(found)


def plausible(value: float) -> float | None:
    """The value, where it is from 0 to 2**53: no reading of an LLM server lies outside."""
    return value if 0.0 <= value <= GREATEST else None


def whole(document: Mapping[str, object], key: str) -> int | None:
    """The whole number at `key`."""
    value = number(document, key)
    return int(value) if value is not None and value == int(value) else None
