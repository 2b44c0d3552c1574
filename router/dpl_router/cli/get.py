"""`dpl get nodes|models`: what the router knows, as a table or as data."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import rich_click as click

from dpl_router.cli import client

AGAIN = 2.0
"""Seconds between two looks with -w."""
CLEAR = "\x1b[H\x1b[2J"

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], str]]
Verb = TypeVar("Verb", bound=Callable[..., Any])


@click.group()
def get() -> None:
    """Show what there is."""


def listing(verb: Verb) -> Verb:
    """The options of every list."""
    output = click.option(
        "-o",
        "--output",
        type=click.Choice(["wide", "json", "yaml", "name"]),
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


def show(
    url: str,
    path: str,
    columns: tuple[Sequence[Column], Sequence[Column]],
    output: str | None,
    *,
    again: float | None,
) -> None:
    """`columns`: the narrow ones and the wide ones; `again`: seconds, None = once."""
    narrow, wide = columns
    for_people = output not in FORMATS
    alive = again is not None and for_people and sys.stdout.isatty()
    before = None
    while True:
        rows = known(url, path)
        shown = narrow if output is None else wide
        told = table(shown, rows) if for_people else FORMATS[output](rows)
        now = unaged(shown, rows) if for_people else ageless(rows)
        if alive or now != before:
            apart = for_people and not alive and before is not None
            click.echo(CLEAR * alive + "\n" * apart + told)
            if for_people:
                warn_of_the_file(url)
        before = now
        if again is None:
            return
        time.sleep(again)


def unaged(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """What a change is seen by: an age alone is none."""
    return table([column for column in columns if column[0] != AGED], rows)


def ageless(rows: Sequence[Row]) -> Sequence[Row]:
    return [{field: value for field, value in row.items() if field != "age"} for row in rows]


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


def known(url: str, path: str) -> Sequence[Row]:
    """Raises: CallFailed where that is no list of things that have names."""
    rows = client.get_json(url, path)
    if not isinstance(rows, list) or not all(is_named(each) for each in rows):
        raise client.not_a_router(url)
    return rows


def is_named(each: Any) -> bool:
    return isinstance(each, dict) and isinstance(each.get("name"), str)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}%"


def size(value: float | None) -> str:
    """Bytes as GiB, below one as MiB."""
    if value is None:
        return "-"
    return f"{value / 2**20:.0f}M" if 0 < value < 2**30 else f"{value / 2**30:.1f}G"


def since(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f}s ago"


def places(node: Row) -> str:
    slots = node.get("slots")
    return f"{node.get('in_flight') or 0}/{'?' if slots is None else slots}"


def memory(node: Row) -> str:
    known = node.get("memory") or {}
    return f"{size(known.get('used'))}/{size(known.get('total'))}" if known else "-"


def gpu(node: Row) -> str:
    cards = node.get("gpu") or ()
    return ",".join(percent(card.get("percent")) for card in cards) or "-"


def models_of(node: Row) -> str:
    """Those that can answer at once; `+3` tells how many more are installed but not loaded."""
    known = node.get("models") or ()
    loaded = [model["name"] for model in known if model.get("loaded") is not False]
    more = len(known) - len(loaded)
    return " ".join([",".join(loaded), f"+{more}" if more else ""]).strip() or "-"


def loaded_on(model: Row) -> str:
    """A server that does not say what is loaded serves what it lists."""
    return ",".join(each["node"] for each in on(model) if is_loaded(each)) or "-"


def installed_on(model: Row) -> str:
    """What does not answer is marked: it has the model, but nobody can use it now."""
    rest = [each for each in on(model) if not is_loaded(each)]
    return ",".join(each["node"] + " (offline)" * is_offline(each) for each in rest) or "-"


def is_loaded(each: Row) -> bool:
    return each.get("loaded") is not False and not is_offline(each)


def is_offline(each: Row) -> bool:
    return each.get("online") is False


def on(model: Row) -> Sequence[Row]:
    """What nodes say of it."""
    return [each for each in model.get("nodes") or () if isinstance(each.get("node"), str)]


def said(model: Row, field: str) -> Sequence[Any]:
    """Each node's word once, without those that do not tell."""
    words = [each.get(field) for each in on(model)]
    return list(dict.fromkeys(word for word in words if word is not None))


def sizes(model: Row) -> str:
    return size(max(said(model, "size"), default=None))


def own_names(model: Row) -> str:
    return ",".join(name for name in said(model, "name") if name != model["name"]) or "-"


AGED = "MEASURED"
NARROW: Sequence[Column] = (
    ("NAME", lambda node: str(node["name"])),
    ("STATE", lambda node: str(node.get("state") or "unknown")),
    ("BUSY", places),
    ("CPU", lambda node: percent(node.get("cpu"))),
    ("MEMORY", memory),
    ("MODELS", models_of),
    (AGED, lambda node: since(node.get("age"))),
)
WIDE: Sequence[Column] = (
    *NARROW[:5],
    ("GPU", gpu),
    ("LOCKED", lambda node: "yes" if node.get("locked") else "no"),
    ("CORDONED", lambda node: "yes" if node.get("cordoned") else "no"),
    *NARROW[5:],
    ("REASON", lambda node: str(node.get("reason") or "-")),
)


NODES = NARROW, WIDE
NARROW_MODELS: Sequence[Column] = (
    ("NAME", lambda model: str(model["name"])),
    ("LOADED", loaded_on),
    ("ON DISK", installed_on),
    ("SIZE", sizes),
    ("CONTEXT", lambda model: ",".join(map(str, said(model, "context"))) or "-"),
)
WIDE_MODELS: Sequence[Column] = (
    *NARROW_MODELS,
    ("DIGEST", lambda model: ",".join(word[:12] for word in said(model, "digest")) or "-"),
    ("OWN NAME", own_names),
)
MODELS = NARROW_MODELS, WIDE_MODELS


def table(columns: Sequence[Column], known: Sequence[Row]) -> str:
    """Plain columns, as kubectl draws them: they survive a pipe."""
    rows = [[title for title, _ in columns]]
    rows += [[client.printable(cell(row)) for _, cell in columns] for row in known]
    widths = [max(len(row[at]) for row in rows) for at in range(len(columns))]
    lines = ("   ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def as_yaml(known: Sequence[Row]) -> str:
    import yaml

    text: str = yaml.safe_dump(known, sort_keys=False, allow_unicode=True)
    return text.rstrip()


FORMATS: Mapping[str | None, Callable[[Sequence[Row]], str]] = {
    "json": lambda known: json.dumps(known, indent=2),
    "yaml": as_yaml,
    "name": lambda known: "\n".join(str(row["name"]) for row in known),
}
