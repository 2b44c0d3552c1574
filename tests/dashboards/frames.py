"""What a panel asks, answered by Prometheus, as the preview draws it: series, rows of tables."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.dashboards.boards import Query
from tests.dashboards.stage import Live

Panel = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]
    """(seconds since 1970, value); one where the query is instant."""
    ref: str = "A"

    @property
    def last(self) -> float:
        return self.points[-1][1]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.points]


def series_of(live: Live, panel: Panel, values: Mapping[str, str]) -> list[Series]:
    found = []
    for target in panel["targets"]:
        asked = Query(panel["title"], target["expr"], target.get("instant", False), target)
        for each in live.ask(asked, values):
            points = [(float(at), float(value)) for at, value in each["values"]]
            name = legend(target.get("legendFormat") or "", each["metric"])
            found.append(Series(name, each["metric"], points, target["refId"]))
    return found


def legend(pattern: str, labels: Mapping[str, str]) -> str:
    if not pattern:
        return " ".join(value for name, value in labels.items() if name != "__name__") or "value"
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), pattern)
    return " ".join(text.split())


def table_of(panel: Panel, series: Sequence[Series]) -> tuple[list[str], list[list[Any]]]:
    """(headings, rows) after the panel's transformations."""
    kinds = {each["id"]: each["options"] for each in panel.get("transformations", ())}
    if "groupingToMatrix" in kinds:
        return _matrix(kinds["groupingToMatrix"], series)
    return _merged(kinds["organize"], series, len(panel["targets"]))


def _matrix(options: Mapping[str, str], series: Sequence[Series]) -> tuple[list[str], list[Any]]:
    across, down = options["columnField"], options["rowField"]
    columns = sorted({each.labels[across] for each in series})
    found: dict[str, dict[str, float]] = {}
    for each in series:
        found.setdefault(each.labels[down], {})[each.labels[across]] = each.last
    rows = [[name, *(found[name].get(column) for column in columns)] for name in sorted(found)]
    return [f"{down}\\{across}", *columns], rows


def _merged(
    options: Mapping[str, Any], series: Sequence[Series], queries: int
) -> tuple[list[str], list[Any]]:
    """Grafana's merge: rows are one where all labels that every query has are the same."""
    by_query: dict[str, list[Series]] = {}
    for each in series:
        by_query.setdefault(each.ref, []).append(each)
    common = set.intersection(
        *({name for each in found for name in each.labels} for found in by_query.values())
    )
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for each in series:
        key = tuple(each.labels.get(name, "") for name in sorted(common))
        field = f"Value #{each.ref}" if queries > 1 else "Value"
        found.setdefault(key, {}).update({**each.labels, field: each.last})
    order: Mapping[str, int] = options["indexByName"]
    fields = sorted(order, key=order.__getitem__)
    kept = [name for name in fields if name not in options["excludeByName"]]
    headings = [options["renameByName"].get(name, name) for name in kept]
    rows = [[found[key].get(name) for name in kept] for key in sorted(found)]
    return headings, rows
