"""The committed dashboards as tests read them: panels, queries, and values for their variables."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "grafana" / "dashboards"
MONTH = "30d"
VALUES: Mapping[str, str] = {
    "__rate_interval": "1m",
    "__range": "1h",
    "__interval": "15s",
    "__interval_ms": "15000",
    **dict.fromkeys(("cluster", "node", "model", "gpu"), ".*"),
    "price_kwh": "0.3",
    "how": "rate",
    "metric": "dpl_node_load1",
}
"""What Grafana would put in place of each, where all of everything is chosen."""

VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)[^}]*\}|([A-Za-z_]\w*))")
Board = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """`where`: the panel's title, or the kind and name of what else asks."""

    where: str
    promql: str
    at_once: bool
    whole: Mapping[str, Any]
    """The target, annotation or variable that it stands in."""

    def filled(self, values: Mapping[str, str]) -> str:
        return filled(self.promql, values)


def filled(text: str, values: Mapping[str, str]) -> str:
    """With each `$name` and `${name}` replaced."""
    return VARIABLE.sub(lambda m: values[m[1] or m[2]], text)


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def text(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def read(name: str) -> Board:
    board: Board = json.loads(text(name))
    return board


def everything(board: Board) -> list[Mapping[str, Any]]:
    """Rows too."""
    return list(board["panels"])


def panels(board: Board) -> list[Mapping[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def variables(board: Board) -> list[Mapping[str, Any]]:
    return list(board["templating"]["list"])


def annotations(board: Board) -> list[Mapping[str, Any]]:
    return list(board["annotations"]["list"])


def queries(board: Board) -> Iterator[Query]:
    """Of panels and annotations."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield Query(panel["title"], target["expr"], target.get("instant", False), target)
    for annotation in annotations(board):
        yield Query(f"annotation {annotation['name']}", annotation["expr"], False, annotation)


def listed(board: Board) -> Iterator[tuple[Query, str]]:
    """What variables list: the selector that Prometheus is asked for, and the label."""
    for variable in variables(board):
        if variable["type"] == "query":
            asked = variable["query"]["query"]
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", asked)
            assert found, asked
            yield Query(f"variable {variable['name']}", found[1], True, variable), found[2]
