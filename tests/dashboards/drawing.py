"""Panels as SVG and HTML, roughly as Grafana draws them, so that a person can look at them."""

import html
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.dashboards.frames import Panel, Series, table_of
from tests.dashboards.units import shown

PALETTE = (
    *("#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9", "#705da0"),
    *("#508642", "#cca300", "#447ebc", "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#584477"),
)
COLORS = {
    "green": "#56a64b",
    "red": "#e0323c",
    "blue": "#3274d9",
    "orange": "#ff780a",
    "text": "var(--text)",
}
HEAD = 34
LEFT = 62
LETTER = 6.4
BOTTOM = 20
LEGEND_ROW = 19
SHOWN_ROWS = 4


def drawn(panel: Panel, series: Sequence[Series], width: int, height: int) -> str:
    """The inside of the panel's box, `width` × `height` pixels with its title."""
    draw = {
        "timeseries": lines,
        "stat": stats,
        "bargauge": bars,
        "state-timeline": lanes,
        "table": cells,
        "heatmap": buckets,
    }[panel["type"]]
    return draw(panel, series, width, height - HEAD)


def color_of(name: str) -> str:
    return COLORS.get(name, name)


def defaults(panel: Panel) -> Mapping[str, Any]:
    found: Mapping[str, Any] = panel["fieldConfig"]["defaults"]
    return found


def text_of(panel: Panel, value: float) -> str:
    word, _ = mapped(defaults(panel).get("mappings"), value)
    return word or shown(value, defaults(panel)["unit"], defaults(panel).get("decimals"))


def mapped(mappings: Any, value: float) -> tuple[str, str]:
    """(word, colour) of a value; empty where none is mapped."""
    for mapping in mappings or ():
        found = mapping["options"].get(f"{value:g}")
        if found:
            return found["text"], color_of(found["color"])
    return "", ""


def turned(panel: Panel, value: float) -> str:
    """The colour of `value` by its word, else by the thresholds."""
    _, color = mapped(defaults(panel).get("mappings"), value)
    for step in defaults(panel)["thresholds"]["steps"]:
        if not color or (step["value"] is not None and value >= step["value"]):
            color = color_of(step["color"])
    return color


def span(series: Sequence[Series]) -> tuple[float, float]:
    times = [at for each in series for at, _ in each.points]
    return min(times), max(max(times), min(times) + 1)


def lines(panel: Panel, series: Sequence[Series], width: int, height: int) -> str:
    named = [(each, PALETTE[at % len(PALETTE)]) for at, each in enumerate(series)]
    legend_height = LEGEND_ROW * (1 + min(len(named), SHOWN_ROWS) + (len(named) > SHOWN_ROWS))
    tall = height - legend_height - 10
    custom = defaults(panel).get("custom", {})
    piled = stacked(series) if custom.get("stacking", {}).get("mode") == "normal" else None
    tops = piled or [each.values for each in series]
    steps = [each["value"] for each in defaults(panel)["thresholds"]["steps"][1:]]
    highest = max([value for top in tops for value in top] + [1e-9])
    if highest < 1e-6 and defaults(panel).get("max") is None:
        highest = 1.0
    if defaults(panel).get("max") is not None and highest <= defaults(panel)["max"]:
        highest = min(max(highest * 1.1, *steps, 0.02), defaults(panel)["max"])
    lowest = min([0.0] + [value for top in tops for value in top])
    ticks = round_values(lowest, highest)
    highest = ticks[-1]
    labels = [text_of(panel, tick) for tick in ticks]
    left = 14 + LETTER * max(map(len, labels))
    begin, end = span(series)

    def place(at: float, value: float) -> str:
        x = left + (at - begin) / (end - begin) * (width - left - 12)
        y = 6 + (tall - BOTTOM - 6) * (1 - (value - lowest) / (highest - lowest))
        return f"{x:.1f},{y:.1f}"

    paths = []
    for (each, color), top in reversed(list(zip(named, tops, strict=True))):
        course = " ".join(place(at, value) for (at, _), value in zip(each.points, top, strict=True))
        base = f"{place(each.points[-1][0], lowest)} {place(each.points[0][0], lowest)}"
        paths.append(
            f'<polygon points="{course} {base}" fill="{color}" opacity="{0.4 if piled else 0.08}"/>'
            f'<polyline points="{course}" fill="none" stroke="{color}" stroke-width="1.4"/>'
        )
    for step in steps:
        if lowest <= step <= highest:
            one, other = place(begin, step), place(end, step)
            (x1, y1), (x2, y2) = one.split(","), other.split(",")
            paths.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="limit"/>')
    for tick, label in zip(ticks, labels, strict=True):
        (x1, y1), (x2, y2) = place(begin, tick).split(","), place(end, tick).split(",")
        paths.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="grid"/><text x="{left - 6:.0f}"'
            f' y="{float(y1) + 4:.1f}" text-anchor="end">{html.escape(label)}</text>'
        )
    clock = times(begin, end, left, width, tall)
    picture = f'<svg width="{width}" height="{tall}">{clock}{"".join(paths)}</svg>'
    return picture + legend(panel, named)


def stacked(series: Sequence[Series]) -> list[list[float]]:
    total: dict[float, float] = {}
    tops = []
    for each in series:
        for at, value in each.points:
            total[at] = total.get(at, 0.0) + value
        tops.append([total[at] for at, _ in each.points])
    return tops


def round_values(lowest: float, highest: float) -> list[float]:
    """About five from the lowest to the first round one past the highest."""
    raw = (highest - lowest) / 4
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * each for each in (1, 2, 2.5, 5, 10) if unit * each >= raw * 0.999)
    return [lowest + step * at for at in range(math.ceil((highest - lowest) / step - 1e-6) + 1)]


def times(begin: float, end: float, left: float, width: int, tall: int) -> str:
    found = []
    for part in (0.06, 0.35, 0.65, 0.94):
        x = left + part * (width - left - 12)
        clock = time.strftime("%H:%M:%S", time.localtime(begin + part * (end - begin)))
        found.append(f'<text x="{x:.0f}" y="{tall - 4}" text-anchor="middle">{clock}</text>')
    return "".join(found)


def legend(panel: Panel, named: Sequence[tuple[Series, str]]) -> str:
    rows = []
    for each, color in named[:SHOWN_ROWS]:
        numbers = (sum(each.values) / len(each.values), max(each.values), each.last)
        columns = "".join(f"<td>{html.escape(text_of(panel, number))}</td>" for number in numbers)
        name = html.escape(each.name)
        rows.append(f'<tr><td><i style="background:{color}"></i>{name}</td>{columns}</tr>')
    if len(named) > SHOWN_ROWS:
        rows.append(f"<tr><td>… {len(named) - SHOWN_ROWS} more</td><td/><td/><td/></tr>")
    head = "<tr><th>Name</th><th>Mean</th><th>Max</th><th>Last</th></tr>"
    return f'<table class="legend">{head}{"".join(rows)}</table>'


def stats(panel: Panel, series: Sequence[Series], width: int, height: int) -> str:
    found = []
    for each in series:
        color = turned(panel, each.last)
        name = f"<span>{html.escape(each.name)}</span>" if len(series) > 1 else ""
        size = min(38, int(height * 0.42), int(width / max(len(series), 1) / 4))
        found.append(
            f'<div class="stat" style="color:{color}">{name}'
            f'<b style="font-size:{size}px">{html.escape(text_of(panel, each.last))}</b>'
            f"{spark(each, color, width // max(len(series), 1), 26)}</div>"
        )
    if not series:
        found.append(f'<div class="stat"><b>{defaults(panel).get("noValue", "-")}</b></div>')
    return f'<div class="stats" style="height:{height}px">{"".join(found)}</div>'


def spark(series: Series, color: str, width: int, tall: int) -> str:
    if len(series.points) < 2:
        return ""
    low, high = min(series.values), max(series.values)
    points = []
    for at, value in enumerate(series.values):
        y = tall - 2 - (value - low) / ((high - low) or 1) * (tall - 4)
        points.append(f"{at / (len(series.values) - 1) * width:.1f},{y:.1f}")
    course = " ".join(points)
    return (
        f'<svg width="{width}" height="{tall}" class="spark">'
        f'<polygon points="0,{tall} {course} {width},{tall}" fill="{color}" opacity=".18"/>'
        f'<polyline points="{course}" fill="none" stroke="{color}" stroke-width="1.2"/></svg>'
    )


def bars(panel: Panel, series: Sequence[Series], width: int, height: int) -> str:
    highest = defaults(panel).get("max") or max([each.last for each in series] + [1e-9])
    tall = min(26, max(13, (height - 8) // max(len(series), 1)))
    broad = 7 * max([len(each.name) for each in series] + [6])
    found = []
    for each in sorted(series, key=lambda each: each.name):
        part = max(0.0, min(1.0, each.last / highest)) * 100
        color = turned(panel, each.last)
        color = PALETTE[0] if color == COLORS["text"] else color
        found.append(
            f'<div class="bar" style="height:{tall}px">'
            f'<span style="width:{broad}px">{html.escape(each.name)}</span>'
            f'<em><u style="width:{part:.1f}%;background:{color};height:{tall - 4}px"></u></em>'
            f"<s>{html.escape(text_of(panel, each.last))}</s></div>"
        )
    return f'<div class="bars" style="height:{height - 8}px">{"".join(found)}</div>'


def lanes(panel: Panel, series: Sequence[Series], width: int, height: int) -> str:
    begin, end = span(series)
    left = max(LEFT, min(260, 12 + 7 * max(len(each.name) for each in series)))
    tall = height - 46
    lane = tall / len(series)
    found = []
    for at, each in enumerate(series):
        every = {b[0] - a[0] for a, b in zip(each.points, each.points[1:], strict=False)} or {1.0}
        broad = min(every) / (end - begin) * (width - left - 12) + 0.6
        found.append(
            f'<text x="{left - 6}" y="{at * lane + lane / 2 + 4:.1f}" text-anchor="end">'
            f"{html.escape(each.name)}</text>"
        )
        for when, value in each.points:
            x = left + (when - begin) / (end - begin) * (width - left - 12 - broad)
            found.append(
                f'<rect x="{x:.1f}" y="{at * lane + lane * 0.08:.1f}" width="{broad:.2f}"'
                f' height="{lane * 0.84:.1f}" fill="{turned(panel, value)}"/>'
            )
    words = [each["text"] for each in defaults(panel)["mappings"][0]["options"].values()]
    colors = [each["color"] for each in defaults(panel)["mappings"][0]["options"].values()]
    keys = "".join(
        f'<i style="background:{color_of(color)}"></i>{html.escape(word)} '
        for word, color in zip(words, colors, strict=True)
    )
    return f'<svg width="{width}" height="{tall}">{"".join(found)}</svg><p class="keys">{keys}</p>'


def cells(panel: Panel, series: Sequence[Series], width: int, height: int) -> str:
    if not series:
        return '<p class="keys">No data</p>'
    headings, rows = table_of(panel, series)
    properties = {
        each["matcher"]["options"]: {own["id"]: own["value"] for own in each["properties"]}
        for each in panel["fieldConfig"]["overrides"]
    }
    painted = "cellOptions" in defaults(panel).get("custom", {})
    body = []
    for row in rows:
        found = []
        for heading, value in zip(headings, row, strict=True):
            found.append(cell(panel, properties.get(heading, {}), value, painted))
        body.append(f"<tr>{''.join(found)}</tr>")
    head = "".join(f"<th>{html.escape(each)}</th>" for each in headings)
    return (
        f'<div class="cells" style="height:{height - 8}px">'
        f"<table><tr>{head}</tr>{''.join(body)}</table></div>"
    )


def cell(panel: Panel, own: Mapping[str, Any], value: Any, painted: bool) -> str:
    if value is None:
        return "<td>-</td>" if painted else "<td></td>"
    if isinstance(value, str):
        link = ' class="link"' if own.get("links") else ""
        return f"<td{link}>{html.escape(value)}</td>"
    word, color = mapped(own.get("mappings"), value)
    if painted:
        color = turned(panel, value)
    unit = own.get("unit", defaults(panel).get("unit", "short"))
    text = word or shown(value, unit, defaults(panel).get("decimals"))
    style = f' style="background:{color};color:#fff"' if color else ""
    return f"<td{style}>{html.escape(text)}</td>"


def buckets(panel: Panel, series: Sequence[Series], width: int, height: int) -> str:
    """Buckets are cumulative: a lane shows what is above the one below."""
    lanes = sorted(series, key=lambda each: float(each.labels["le"]))
    begin, end = span(lanes)
    tall = height - 24
    rows, below = [], dict.fromkeys((at for at, _ in lanes[0].points), 0.0)
    for each in lanes:
        now = dict(each.points)
        rows.append({at: value - below.get(at, 0.0) for at, value in now.items()})
        below = now
    highest = max([value for row in rows for value in row.values()] + [1e-9])
    lane, found = (tall - BOTTOM) / len(lanes), []
    broad = (width - LEFT - 12) / max(len(lanes[0].points), 1)
    for at, (each, row) in enumerate(zip(lanes, rows, strict=True)):
        y = (len(lanes) - 1 - at) * lane
        if at % 3 == 0:
            label = "∞" if each.labels["le"] == "+Inf" else text_of(panel, float(each.labels["le"]))
            found.append(
                f'<text x="{LEFT - 6}" y="{y + lane:.1f}" text-anchor="end">{label}</text>'
            )
        for when, value in row.items():
            if value > 0:
                x = LEFT + (when - begin) / (end - begin) * (width - LEFT - 12 - broad)
                found.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{broad:.1f}" height="{lane - 1:.1f}"'
                    f' fill="#ff780a" opacity="{(value / highest) ** 0.5:.2f}"/>'
                )
    clock = times(begin, end, LEFT, width, tall)
    return f'<svg width="{width}" height="{tall}">{"".join(found)}{clock}</svg>'
