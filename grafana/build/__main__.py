"""Writes grafana/dashboards anew: python -m grafana.build (make render does)."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from grafana.build import alerts, explore, llm, meta, node, overview, router
from grafana.build.board import Board
from grafana.build.sdk import JSONEncoder

FOLDER = Path(__file__).parents[1] / "dashboards"
BOARDS: Mapping[str, Callable[[], Board]] = {
    "dpl-overview": overview.board,
    "dpl-node": node.board,
    "dpl-llm": llm.board,
    "dpl-alerts": alerts.board,
    "dpl-router": router.board,
    "dpl-meta": meta.board,
    "dpl-explore": explore.board,
}


def rendered(name: str) -> str:
    return json.dumps(BOARDS[name]().build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name in BOARDS:
        (FOLDER / f"{name}.json").write_text(rendered(name), encoding="utf-8")


if __name__ == "__main__":
    main()
