"""`dpl get nodes`: what the router knows of its nodes, as a table or as data."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rich_click as click

from dpl_router.cli import client

AGAIN = 2.0
"""Seconds between two looks with -w."""

Node = Mapping[str, Any]
Column = tuple[str, Callable[[Node], str]]


@click.group()
def get() -> None:
    """Show what there is."""


@get.command()
@click.option(
    "-o",
    "--output",
    type=click.Choice(["wide", "json", "yaml", "name"]),
    help="wide: more columns. The others are for programs.",
)
@click.option("-w", "--watch", is_flag=True, help="Look again every 2 s until Ctrl-C.")
@client.router_option
def nodes(output: str | None, watch: bool, url: str) -> None:
    """List the nodes."""
    while True:
        click.echo(FORMATS[output](known_nodes(url)))
        if not watch:
            return
        time.sleep(AGAIN)
        if output in (None, "wide"):
            click.echo()


def known_nodes(url: str) -> Sequence[Node]:
    """Raises: CallFailed where that is no list of nodes."""
    known = client.get_json(url, "/api/status/all")
    if not isinstance(known, list) or not all(is_node(each) for each in known):
        raise client.not_a_router(url)
    return known


def is_node(each: Any) -> bool:
    return isinstance(each, dict) and isinstance(each.get("name"), str)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}%"


def size(value: float | None) -> str:
    """Bytes as GiB."""
    return "-" if value is None else f"{value / 2**30:.1f}G"


def since(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f}s ago"


def places(node: Node) -> str:
    slots = node.get("slots")
    return f"{node.get('in_flight') or 0}/{'?' if slots is None else slots}"


def memory(node: Node) -> str:
    known = node.get("memory") or {}
    return f"{size(known.get('used'))}/{size(known.get('total'))}" if known else "-"


def gpu(node: Node) -> str:
    cards = node.get("gpu") or ()
    return ",".join(percent(card.get("percent")) for card in cards) or "-"


def models(node: Node) -> str:
    """Those that can answer at once; `+3` tells how many more are installed but not loaded."""
    known = node.get("models") or ()
    loaded = [model["name"] for model in known if model.get("loaded") is not False]
    more = len(known) - len(loaded)
    return " ".join([",".join(loaded), f"+{more}" if more else ""]).strip() or "-"


NARROW: Sequence[Column] = (
    ("NAME", lambda node: str(node["name"])),
    ("STATE", lambda node: str(node.get("state") or "unknown")),
    ("BUSY", places),
    ("CPU", lambda node: percent(node.get("cpu"))),
    ("MEMORY", memory),
    ("MODELS", models),
    ("MEASURED", lambda node: since(node.get("age"))),
)
WIDE: Sequence[Column] = (
    *NARROW[:5],
    ("GPU", gpu),
    ("LOCKED", lambda node: "yes" if node.get("locked") else "no"),
    ("CORDONED", lambda node: "yes" if node.get("cordoned") else "no"),
    *NARROW[5:],
    ("REASON", lambda node: str(node.get("reason") or "-")),
)


def table(columns: Sequence[Column], known: Sequence[Node]) -> str:
    """Plain columns, as kubectl draws them: they survive a pipe."""
    rows = [[title for title, _ in columns]]
    rows += [[client.printable(cell(node)) for _, cell in columns] for node in known]
    widths = [max(len(row[at]) for row in rows) for at in range(len(columns))]
    lines = ("   ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def as_yaml(known: Sequence[Node]) -> str:
    import yaml

    text: str = yaml.safe_dump(known, sort_keys=False, allow_unicode=True)
    return text.rstrip()


FORMATS: Mapping[str | None, Callable[[Sequence[Node]], str]] = {
    None: lambda known: table(NARROW, known),
    "wide": lambda known: table(WIDE, known),
    "json": lambda known: json.dumps(known, indent=2),
    "yaml": as_yaml,
    "name": lambda known: "\n".join(str(node["name"]) for node in known),
}
