"""Rows as tables for people, and as data for programs. What the columns are, callers say."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dpl_router.cli import client

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], str]]

DATA = ("json", "yaml", "name")


def table(columns: Sequence[Column], known: Sequence[Row]) -> str:
    """Plain columns, as kubectl draws them: they survive a pipe."""
    rows = [[title for title, _ in columns]]
    rows += [
        [" ".join(client.printable(cell(row)).split()) for _, cell in columns] for row in known
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(columns))]
    lines = ("   ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def as_json(known: Any) -> str:
    return json.dumps(known, indent=2)


def as_yaml(known: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(known, sort_keys=False, allow_unicode=True)
    return text.rstrip()


def as_data(form: str, known: Sequence[Row], key: str) -> str:
    """`form`: one of DATA; `key`: the field that is a row's name."""
    if form == "name":
        return "\n".join(str(row[key]) for row in known)
    return as_json(known) if form == "json" else as_yaml(known)
