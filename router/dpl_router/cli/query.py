"""`dpl query 'PROMQL'`: the router's Prometheus, as a table or as data."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rich_click as click

from dpl_router.cli import client
from dpl_router.cli.nodes import Time
from dpl_router.cli.tables import Column, as_json, as_yaml, table

PATIENCE = 20.0
"""Seconds: the router gives Prometheus 8, twice."""
POINTS = 60
"""Of a range, where --step says nothing."""
EXACT = 1e15
"""Whole numbers below are written with all their digits."""

Series = Mapping[str, Any]


@click.command()
@click.argument("promql")
@click.option("--range", "back", type=Time(), help="Look back that far, like 1h; else at now.")
@click.option("--step", type=Time(), help="Between two points of a range; else a 60th of it.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="As Prometheus said it.")
@client.router_option
def query(
    promql: str, back: float | None, step: float | None, output: str | None, url: str
) -> None:
    """Ask Prometheus, through the router, what PROMQL is now. docs/promql.md has examples."""
    if step is not None and back is None:
        raise click.UsageError("--step is for --range")
    kind, found = asked(url, promql, back, step)
    if output is not None:
        click.echo(FORMATS[output](found))
    elif found:
        click.echo(shown(url, kind, found))
    if not found:
        click.echo(NOTHING, err=True)


NOTHING = (
    "nothing has that name and those labels, or no value passes the comparison; "
    """`dpl query 'count by (__name__) ({__name__=~".*dpl_.+"})'` lists the names"""
)


def shown(url: str, kind: str, found: Any) -> str:
    """For people. Raises: CallFailed where it is none of Prometheus' answers."""
    try:
        if kind in ("scalar", "string"):
            return client.printable(spelled(found[1]))
        return table(columns(kind, found), found)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise client.not_a_router(url) from error


def asked(url: str, promql: str, back: float | None, step: float | None) -> tuple[str, Any]:
    """(vector, matrix, scalar or string; what Prometheus found). Raises: CallFailed."""
    from urllib.parse import urlencode

    try:
        promql.encode()
    except UnicodeEncodeError as error:
        raise click.UsageError("PROMQL is not UTF-8") from error
    path, wish = "/api/prometheus/query", {"query": promql}
    if back is not None:
        now = time.time()
        path = "/api/prometheus/query_range"
        wish |= {"start": f"{now - back:.3f}", "end": f"{now:.3f}"}
        wish["step"] = f"{step if step is not None else max(back / POINTS, 1.0):g}"
    said = client.get_json(url, f"{path}?{urlencode(wish)}", seconds=PATIENCE)
    try:
        kind, found = said["data"]["resultType"], said["data"]["result"]
        words = [*(said.get("warnings") or ()), *(said.get("infos") or ())]
    except (TypeError, KeyError) as error:
        raise client.not_a_router(url) from error
    for word in words:
        click.echo(f"warning: {client.printable(str(word))}", err=True)
    return kind, found


def columns(kind: str, found: Sequence[Series]) -> Sequence[Column]:
    """A column for each label that any series has, then the value or what the points say."""
    names = sorted({name for series in found for name in series["metric"]})
    return [*map(label, names), *(ENDS[kind])]


def label(name: str) -> Column:
    title = "SERIES" if name == "__name__" else name.upper()
    return visible(title), lambda series: visible(str(series["metric"].get(name, "-")))


def visible(text: str) -> str:
    """On one line: a label may hold anything."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def value(series: Series) -> str:
    return HISTOGRAM if "histogram" in series else spelled(series["value"][1])


def points(of: Callable[[Sequence[float]], float]) -> Callable[[Series], str]:
    """ "-" where there are none; a series of histograms has no numbers."""

    def cell(series: Series) -> str:
        if series.get("histograms"):
            return HISTOGRAM
        values = [float(one) for _, one in series["values"]]
        return spelled(of(values)) if values else "-"

    return cell


HISTOGRAM = "histogram"
"""A native one, which `-o json` shows."""


ENDS: Mapping[str, Sequence[Column]] = {
    "vector": (("VALUE", value),),
    "matrix": (
        ("MIN", points(min)),
        ("MEAN", points(lambda values: sum(values) / len(values))),
        ("MAX", points(max)),
        ("LAST", points(lambda values: values[-1])),
    ),
}


def spelled(value: str | float) -> str:
    """Six digits are enough for people; a count and a time stay whole."""
    try:
        number = float(value)
    except ValueError:
        return str(value)
    whole = number == number // 1 and abs(number) < EXACT
    return f"{number:.0f}" if whole else f"{number:.6g}"


FORMATS: Mapping[str, Callable[[Any], str]] = {"json": as_json, "yaml": as_yaml}
