"""`dpl get nodes|models|leases`: what the router knows, as a table or as data."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import rich_click as click

from dpl_router.cli import client
from dpl_router.cli.columns import AGED, AGES, LEASES, MODELS, NODES, Columns
from dpl_router.cli.tables import DATA, Column, Row, as_data, table

AGAIN = 2.0
"""Seconds between two looks with -w."""
CLEAR = "\x1b[H\x1b[2J"

Verb = TypeVar("Verb", bound=Callable[..., Any])


@click.group()
def get() -> None:
    """Show what there is."""


def listing(verb: Verb) -> Verb:
    """The options of every list."""
    output = click.option(
        "-o",
        "--output",
        type=click.Choice(["wide", *DATA]),
        help="wide: more columns. The others are for programs.",
    )
    watch = click.option(
        "-w",
        "--watch",
        is_flag=True,
        help="Look again every 2 s until Ctrl-C; elsewhere than on a terminal print changes alone.",
    )
    return output(watch(client.router_option(verb)))


@get.command()
@listing
def nodes(output: str | None, watch: bool, url: str) -> None:
    """List the nodes."""
    show(url, "/api/status/all", NODES, output, again=AGAIN if watch else None)


@get.command()
@listing
def models(output: str | None, watch: bool, url: str) -> None:
    """List the models: where each is loaded, and where else it could be."""
    show(url, "/api/models", MODELS, output, again=AGAIN if watch else None)


@get.command()
@listing
def leases(output: str | None, watch: bool, url: str) -> None:
    """List the leases: who holds which node, until when unless it is renewed."""
    show(url, "/api/leases", LEASES, output, key="node", again=AGAIN if watch else None)


def show(
    url: str,
    path: str,
    columns: Columns,
    output: str | None,
    *,
    key: str = "name",
    again: float | None,
) -> None:
    """`key`: the field that is a row's name; `again`: seconds between two looks, None = once."""
    shown = columns[output is not None]
    for_people = output not in DATA
    alive = again is not None and for_people and sys.stdout.isatty()
    before = None
    for rows in looks(url, path, key, again):
        now = unaged(shown, rows) if for_people else ageless(rows)
        if alive or now != before:
            apart = for_people and not alive and before is not None
            told = table(shown, rows) if for_people else as_data(str(output), rows, key)
            click.echo(CLEAR * alive + "\n" * apart + told)
            if for_people:
                warn_of_the_file(url)
        before = now


def looks(url: str, path: str, key: str, again: float | None) -> Iterator[Sequence[Row]]:
    """One, or one after the other without end; a router that is away for a while is waited for.

    Raises: CallFailed, where the first look fails or a later one for good.
    """
    yield known(url, path, key)
    away = False
    while again is not None:
        time.sleep(again)
        try:
            rows = known(url, path, key)
        except client.NotNow as error:
            if not away:
                click.echo(f"warning: {error.message}; looking again", err=True)
            away = True
        else:
            away = False
            yield rows


def unaged(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """What a change is seen by: an age alone is none."""
    return table([column for column in columns if column[0] not in AGED], rows)


def ageless(rows: Sequence[Row]) -> Sequence[Row]:
    return [{field: row[field] for field in row if field not in AGES} for row in rows]


def warn_of_the_file(url: str) -> None:
    """One line where a changed nodes file was refused; no failure where a router does not tell."""
    try:
        overview = client.get_json(url, "/api/cluster/overview")
    except client.CallFailed:
        return
    mistakes = overview.get("nodes_file_mistakes") if isinstance(overview, dict) else None
    if isinstance(mistakes, list) and mistakes:
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        said = f"{mistakes[0]}{more}; the old nodes file is in use"
        click.echo(f"warning: {client.printable(said)}", err=True)


def known(url: str, path: str, key: str) -> Sequence[Row]:
    """Raises: CallFailed where that is no list of things that have names."""
    rows = client.get_json(url, path)
    if not isinstance(rows, list) or not all(is_named(each, key) for each in rows):
        raise client.not_a_router(url)
    return rows


def is_named(each: Any, key: str) -> bool:
    return isinstance(each, dict) and isinstance(each.get(key), str)
