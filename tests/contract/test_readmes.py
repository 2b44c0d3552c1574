"""What people can type, call or open stands in the README of its part."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpl_router.cli import VERBS
from dpl_router.diagnostics.operations import OPERATIONS
from grafana.build.__main__ import BOARDS

ROOT = Path(__file__).parents[2]


def rows(file: str, head: str) -> list[str]:
    """Of the table whose head this is."""
    _, found, table = (ROOT / file).read_text("utf-8").partition(f"\n{head}\n")
    assert found, f"{file} has no table with the head {head}"
    return re.match(r"(?:\|.*\n)*", table)[0].splitlines()[1:]  # type: ignore[index]


def first_cell(row: str) -> str:
    return row.replace("\\|", "/").split("|")[1]


def told(row: str) -> Iterator[str]:
    """Paths in a row: `GET /a/b`, `c` are /a/b and /a/c; (`/d`) after them is /a/b/d."""
    before = ""
    for part, brackets in re.findall(r"`(?:[A-Z]+ )?([^ `]+)`(\))?", row):
        if brackets and before + part in PATHS:
            yield before + part
        elif part.startswith("/"):
            yield (before := part)
        else:
            yield f"{before.rpartition('/')[0]}/{part}"


PATHS = frozenset(one.path for one in OPERATIONS)
ENDPOINTS = rows("router/README.md", "| endpoint | who | what |")
IN_README = frozenset(path for row in ENDPOINTS for path in told(row))
COMMANDS = " ".join(map(first_cell, rows("router/README.md", "| verb | does |")))
TYPED = frozenset(
    verb for words in re.findall(r"`dpl ([a-z/]+)", COMMANDS) for verb in words.split("/")
)
DASHBOARDS = [first_cell(row) for row in rows("grafana/README.md", "| file | shows |")]


@pytest.mark.parametrize("path", sorted(PATHS))
def test_every_call_has_a_row(path: str) -> None:
    assert path in IN_README, (
        f"write a row for {path} in the table of endpoints of router/README.md"
    )


def test_a_verb_that_is_typed_has_a_row() -> None:
    lacking = sorted(VERBS.keys() - TYPED)

    assert not lacking, f"write a row for `dpl {lacking[0]}` in the table of router/README.md"
    assert sorted(TYPED - VERBS.keys()) == [], "that table has a verb which VERBS has not"


def test_every_dashboard_has_a_row_and_no_other() -> None:
    assert [cell.strip(" `") for cell in DASHBOARDS] == list(BOARDS), (
        "write a row for each of BOARDS (grafana/build/__main__.py) in grafana/README.md"
    )
