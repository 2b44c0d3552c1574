"""What a dashboard of ours must be, a function for each convention: it yields what is wrong.

The rules of grafana/dashboard-linter are among them, but for two pairs: `template-job`,
`target-job` and `template-instance`, `target-instance`. Ours select `node`, and read recorded
series, which have neither.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from grafana.build import sdk
from tests.dashboards import boards, promql
from tests.dashboards.boards import Board
from tests.dashboards.types import wrong_types

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
KINDS = {"row", "stat", "timeseries", "bargauge", "state-timeline", "table", "heatmap"}
"""All plugins of today: none is one of those that Grafana 12 has no more."""
UNITS = {value for name, value in vars(sdk.units).items() if name[0].isupper()}
COLUMNS = 24
OLDEST_SCHEMA = 39
NAMES = (
    "dpl-overview",
    "dpl-node",
    "dpl-llm",
    "dpl-alerts",
    "dpl-router",
    "dpl-meta",
    "dpl-explore",
)
"""Addresses that people and alerts keep: they never change."""
Found = Iterator[str]


def head(board: Board) -> Found:
    """One address for ever, our tag, nobody edits it in place, the reader's own clock."""
    wanted = {"editable": False, "graphTooltip": 1, "timezone": "browser", "tags": ["dpl"]}
    for key, value in wanted.items():
        if board[key] != value:
            yield f"{key} is {board[key]!r}, not {value!r}"
    if board["uid"] not in NAMES:
        yield f"uid {board['uid']} is new: name it in NAMES"
    if board["schemaVersion"] < OLDEST_SCHEMA:
        yield f"schemaVersion {board['schemaVersion']} is of an old Grafana"
    if not board["title"].startswith("DPL / ") or not board["description"]:
        yield "a title 'DPL / …' and a description"


def links(board: Board) -> Found:
    """To our other dashboards, at the same time, with the same choices."""
    wanted = {"asDropdown": True, "includeVars": True, "keepTime": True, "tags": ["dpl"]}
    for key, value in wanted.items():
        if board["links"][0][key] != value:
            yield f"its list of dashboards has {key} {board['links'][0][key]!r}"
    for address in re.findall(r'"(/d/[^"]*)"', boards.text(board["uid"])):
        if (uid := re.split(r"[/?]", address)[2]) not in NAMES:
            yield f"a link to {uid}, which is none of ours"


def variables(board: Board) -> Found:
    """The data source first, then the cluster; the others multi, with all, always fresh."""
    found = boards.variables(board)
    if [each["name"] for each in found[:2]] != ["datasource", "cluster"]:
        yield "the first two variables are datasource and cluster"
    if found[0]["type"] != "datasource" or found[0]["label"] != "Data source":
        yield "datasource is a data source, labelled so"
    known = {each["name"] for each in found}
    used = {m[1] or m[2] for m in boards.VARIABLE.finditer(boards.text(board["uid"]))}
    own = {name for name in used if not name.startswith("__") and name != "datasource"}
    yield from (f"${name} is no variable" for name in own - known)
    for each in found:
        if not each.get("label"):
            yield f"{each['name']} has no label"
        if each["type"] == "query":
            yield from _asked(each)


def _asked(variable: Mapping[str, Any]) -> Found:
    name = variable["name"]
    wanted: dict[str, Any] = {"multi": True, "refresh": 2, "datasource": SOURCE}
    if name != "metric":  # all metrics at once would be hundreds of panels
        wanted |= {"includeAll": True, "allValue": ".*"}
    for key, value in wanted.items():
        if variable.get(key) != value:
            yield f"{key} of ${name} is {variable.get(key)!r}, not {value!r}"


def grid(board: Board) -> Found:
    """Everything has a number and a place of its own within 24 columns."""
    ids = Counter(each["id"] for each in boards.everything(board))
    yield from (f"{count} panels have the number {key}" for key, count in ids.items() if count > 1)
    for each in boards.everything(board):
        place = each["gridPos"]
        if place["x"] + place["w"] > COLUMNS or min(place["w"], place["h"]) < 1:
            yield f"{each['title']} stands at {place}"
    for one, other in combinations(boards.everything(board), 2):
        if _overlap(one["gridPos"], other["gridPos"]):
            yield f"{one['title']} and {other['title']} overlap"


def _overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    apart = (
        one["x"] + one["w"] <= other["x"]
        or other["x"] + other["w"] <= one["x"]
        or one["y"] + one["h"] <= other["y"]
        or other["y"] + other["h"] <= one["y"]
    )
    return not apart


def words(board: Board) -> Found:
    """Every panel has a title of its own, and a description that ends like a sentence."""
    titles = Counter(panel["title"] for panel in boards.panels(board))
    yield from (f"{count} panels are called {key!r}" for key, count in titles.items() if count > 1)
    for panel in boards.panels(board):
        if not panel["title"]:
            yield f"panel {panel['id']} has no title"
        if not panel.get("description", "").endswith("."):
            yield f"{panel['title']}: a description, as a sentence"


def kinds(board: Board) -> Found:
    """Panels of today's Grafana, each with something to ask; rows repeat what exists."""
    names = {each["name"] for each in boards.variables(board)}
    for each in boards.everything(board):
        if each["type"] not in KINDS:
            yield f"{each['title']} is of kind {each['type']}"
        if each["type"] != "row" and not each["targets"]:
            yield f"{each['title']} asks nothing"
        if each.get("repeat") and each["repeat"] not in names:
            yield f"{each['title']} repeats ${each['repeat']}, which is no variable"


def sources(board: Board) -> Found:
    """Every panel, query and annotation asks the data source that was chosen."""
    for panel in boards.panels(board):
        for part in (panel, *panel["targets"]):
            if part.get("datasource") != SOURCE:
                yield f"{panel['title']} asks {part.get('datasource')}"
    for annotation in boards.annotations(board):
        if annotation.get("datasource") != SOURCE:
            yield f"annotation {annotation['name']} asks {annotation.get('datasource')}"


def units(board: Board) -> Found:
    """Every number has a unit that Grafana knows; shares go from 0 to 1."""
    for panel in boards.panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        shown = [defaults.get("unit"), *_units_of_columns(panel)]
        yield from (f"{panel['title']}: unit {unit!r}" for unit in shown if unit not in UNITS)
        share = defaults.get("unit") == "percentunit" and panel["type"] != "table"
        if share and (defaults.get("min"), defaults.get("max")) != (0, 1):
            yield f"{panel['title']} is a share and does not go from 0 to 1"


def _units_of_columns(panel: Mapping[str, Any]) -> Iterator[Any]:
    for override in panel["fieldConfig"]["overrides"]:
        for each in override["properties"]:
            if each["id"] == "unit":
                yield each["value"]


def legends(board: Board) -> Found:
    """Lines have a legend with mean, max and last; what many series share has names for them."""
    for panel in boards.panels(board):
        legend = panel["options"].get("legend", {})
        if panel["type"] == "timeseries":
            if legend["displayMode"] != "table" or legend["calcs"] != [
                "mean",
                "max",
                "lastNotNull",
            ]:
                yield f"{panel['title']}: a legend as a table with mean, max, last"
            named = all(target.get("legendFormat") for target in panel["targets"])
            if not named and "$" not in panel["title"]:
                yield f"{panel['title']}: a name for each series"
        for target in panel["targets"]:
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
            asked = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
            yield from (f"{panel['title']}: no label {each}" for each in asked - kept - {"le"})


def limits(board: Board) -> Found:
    """A number at which a colour turns is one of the rules', or a plain count."""
    allowed = promql.numbers_of_the_rules()
    for panel in boards.panels(board):
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        for step in steps[1:]:
            if not any(abs(step["value"] - number) < 1e-9 for number in allowed):
                yield f"{panel['title']} turns at {step['value']}, which is in no rule"


def parse(board: Board) -> Found:
    """Every query is PromQL."""
    for query in boards.queries(board):
        yield from promql.mistakes(query, promql.parsed)
    for query, _ in boards.listed(board):
        yield from promql.mistakes(query, promql.parsed)


def clusters(board: Board) -> Found:
    """Every series is of the clusters that were chosen."""
    for query in boards.queries(board):
        yield from promql.mistakes(query, promql.of_a_cluster)


def rates(board: Board) -> Found:
    """Rates are over $__rate_interval, sums over that or the time shown."""
    for query in boards.queries(board):
        yield from promql.mistakes(query, promql.windows)


def counters(board: Board) -> Found:
    """A counter's level says nothing: it stands under rate or increase."""
    for query in boards.queries(board):
        if "metric" not in query.promql:  # the reader of dpl-explore chooses
            yield from promql.mistakes(query, promql.levels)


def round_trip(board: Board) -> Found:
    """The SDK reads it and writes the same: no key that Grafana does not know."""
    sdk.register_default_plugins()
    again = json.loads(
        json.dumps(sdk.dashboard.Dashboard.from_json(dict(board)), cls=sdk.JSONEncoder)
    )
    for key in board.keys() | again.keys():
        if board.get(key) != again.get(key):
            yield f"the SDK reads {key} and writes it otherwise"


def types(board: Board) -> Found:
    """Each value is of the type, or one of the words, that Grafana takes there."""
    sdk.register_default_plugins()
    yield from wrong_types(sdk.dashboard.Dashboard.from_json(dict(board)))


CHECKS = (
    head,
    links,
    variables,
    grid,
    words,
    kinds,
    sources,
    units,
    legends,
    limits,
    parse,
    clusters,
    rates,
    counters,
    round_trip,
    types,
)
