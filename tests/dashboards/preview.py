"""Pictures of the dashboards: python -m tests.dashboards.preview [--docs | --only NAME] FOLDER

A simulated fleet runs for that long beside a real Prometheus; then each dashboard is drawn in light
and dark from what Prometheus answers, and Chromium takes the pictures. `--docs` writes the two that
the README shows; `--only dpl-node` one dashboard, after half a minute.
"""

import argparse
import asyncio
import html
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from grafana.build.explore import FIRST
from tests.dashboards import boards
from tests.dashboards.boards import ROOT, Board
from tests.dashboards.drawing import drawn
from tests.dashboards.frames import series_of
from tests.dashboards.stage import LIVE, Live, running
from tests.system.browser import browsing

WIDTH = 1280
CELL, GAP = 30, 8
"""Pixels: Grafana's height of a line, and the gap around panels."""
DOCS = {"dpl-overview": "dashboard-overview.png", "dpl-node": "dashboard-node.png"}
TALL = {"dashboard-node.png": 1446}
"""Pixels, where a picture ends after a row; the others are whole."""
START = 15.0
"""Seconds at the beginning that are not shown: rates and alerts begin then."""
CHOSEN: Mapping[str, Mapping[str, str]] = {"dpl-node": {"node": "server-03", "gpu": "0"}}
THEMES = {
    "dark": "--back:#111217;--panel:#181b1f;--line:#2c3235;--text:#ccccdc;--dim:#8e8e9c",
    "light": "--back:#f4f5f5;--panel:#fff;--line:#dcdcde;--text:#24292e;--dim:#6e7076",
}
STYLE = """
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--text);
font:12px Inter,"DejaVu Sans",Arial,sans-serif}
.board{position:relative}.panel{position:absolute;background:var(--panel);border:1px solid
var(--line);border-radius:2px;overflow:hidden}
.panel>h3{margin:0;padding:8px 10px 6px;font-size:13px;
font-weight:500;height:34px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
h1{font-size:18px;font-weight:500;margin:0;padding:14px 16px 2px}
h2{position:absolute;font-size:15px;font-weight:500;margin:0;padding:6px 10px}
text{fill:var(--dim);font-size:11px}.grid{stroke:var(--line)}.limit{stroke:#e0323c;
stroke-dasharray:6 5}svg{display:block}
table{border-collapse:collapse;width:100%}.legend td,.legend th{font-size:11px;text-align:right;
padding:1px 10px;height:19px;white-space:nowrap;color:var(--text)}.legend th{color:#3274d9;
font-weight:500}.legend td:first-child,.legend th:first-child{text-align:left;max-width:0;width:60%;
overflow:hidden;text-overflow:ellipsis}i{display:inline-block;width:12px;height:4px;
margin:0 6px 2px 0;border-radius:1px}.keys{margin:0;padding:6px 12px}.keys i{height:10px;
width:10px;margin:0 5px -1px 10px}
.stats{display:flex}.stat{flex:1;position:relative;display:flex;flex-direction:column;
align-items:center;justify-content:center}.stat span{color:var(--text)}.stat b{font-weight:500}
.spark{position:absolute;bottom:0;left:0}
.bars{padding:0 10px;overflow:hidden}.bar{display:flex;align-items:center;gap:8px}
.bar span{text-align:right;overflow:hidden;white-space:nowrap;font-size:11px}
.bar em{flex:1;background:var(--line)}.bar u{display:block}.bar s{width:52px;text-decoration:none;
font-size:11px}
.cells{overflow:hidden;padding:0 4px}.cells td,.cells th{border-bottom:1px solid var(--line);
padding:4px 8px;text-align:left;white-space:nowrap;font-size:12px}.cells th{color:#3274d9;
font-weight:500}.link{color:#3274d9}
"""


def page(live: Live, board: Board, theme: str, seconds: float) -> str:
    """The dashboard as HTML with everything in it, all of one moment."""
    moment = time.time()
    live = replace(live, now=lambda: moment)
    values = {**LIVE, "__range": f"{seconds:.0f}s", **CHOSEN.get(board["uid"], {})}
    boxes = list(_boxes(live, board, values))
    tall = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    return (
        f'<!doctype html><meta charset="utf-8"><style>:root{{{THEMES[theme]}}}{STYLE}</style>'
        f"<h1>{html.escape(board['title'])}</h1>"
        f'<div class="board" style="height:{tall * (CELL + GAP) + GAP}px">{"".join(boxes)}</div>'
    )


def _boxes(live: Live, board: Board, values: Mapping[str, str]) -> Iterator[str]:
    for panel in board["panels"]:
        if panel.get("repeat") == "metric":
            for place, name in enumerate(FIRST):
                here = {**panel["gridPos"], "x": place * panel["gridPos"]["w"]}
                chosen = {**values, "metric": name, "how": "last_over_time"}
                yield _box(live, {**panel, "gridPos": here}, chosen)
        else:
            yield _box(live, panel, values)


def _box(live: Live, panel: Mapping[str, Any], values: Mapping[str, str]) -> str:
    place = panel["gridPos"]
    column = (WIDTH - GAP) / 24
    x, y = round(GAP + place["x"] * column), GAP + place["y"] * (CELL + GAP)
    wide, tall = round(place["w"] * column) - GAP, place["h"] * (CELL + GAP) - GAP
    title = html.escape(boards.filled(panel["title"], values))
    if panel["type"] == "row":
        return f'<h2 style="left:{x}px;top:{y}px">⌄ {title}</h2>'
    if panel.get("timeFrom"):
        values = {**values, "__range": panel["timeFrom"]}
    inside = drawn(panel, series_of(live, panel, values), wide - 2, tall - 2)
    size = f"left:{x}px;top:{y}px;width:{wide}px;height:{tall}px"
    return f'<div class="panel" style="{size}"><h3>{title}</h3>{inside}</div>'


async def pictures(pages: Mapping[Path, str]) -> None:
    async with browsing() as (tab, _):
        for path, text in pages.items():
            await tab.set_viewport_size({"width": WIDTH, "height": 600})
            await tab.set_content(text)
            whole = await tab.evaluate("document.documentElement.scrollHeight")
            high = min(whole, TALL.get(path.name, whole))
            await tab.set_viewport_size({"width": WIDTH, "height": high})
            await tab.screenshot(path=path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.dashboards.preview")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "docs")
    parser.add_argument("--seconds", type=float, help="shown of the fleet; else 120, --only 15")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--docs", action="store_true", help="only the two that the README shows")
    which.add_argument("--only", choices=boards.names(), help="one dashboard, in dark")
    options = parser.parse_args()
    seconds = options.seconds or (15.0 if options.only else 120.0)
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as live:
        time.sleep(START + seconds)
        if options.docs:
            files = {(name, "dark"): file for name, file in DOCS.items()}
        elif options.only:
            files = {(options.only, "dark"): f"{options.only}.png"}
        else:
            files = {(name, how): f"{name}-{how}.png" for name in boards.names() for how in THEMES}
        pages = {
            options.folder / file: page(live, boards.read(name), theme, seconds)
            for (name, theme), file in files.items()
        }
    asyncio.run(pictures(pages))


if __name__ == "__main__":
    main()
