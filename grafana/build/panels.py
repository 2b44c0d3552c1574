"""The kinds of panel, a function each: what is asked, its unit, and the look that all share.

A width is in columns of 24; where a panel stands is the board's to say (board.py).
"""

from dataclasses import replace

from grafana.build.parts import (
    Limits,
    Mapped,
    Query,
    coloured,
    mappings_of,
    panel_of,
    target_of,
    targets_of,
    thresholds_of,
)
from grafana.build.sdk import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    timeseries,
    units,
)

LAST = common.ReduceDataOptions(calcs=["lastNotNull"], fields="", values=False)
TOOLTIP = common.VizTooltipOptions(
    mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING
)
LEGEND = common.VizLegendOptions(
    display_mode=common.LegendDisplayMode.TABLE,
    placement=common.LegendPlacement.BOTTOM,
    show_legend=True,
    calcs=["mean", "max", "lastNotNull"],
)
NO_LEGEND = common.VizLegendOptions(
    display_mode=common.LegendDisplayMode.LIST,
    placement=common.LegendPlacement.BOTTOM,
    show_legend=False,
    calcs=[],
)


def lines(
    title: str,
    text: str,
    *queries: Query,
    unit: str,
    width: int = 8,
    limits: Limits | None = None,
    look: timeseries.FieldConfig | None = None,
) -> dashboard.Panel:
    """Values over time."""
    ratio = unit == units.PercentUnit
    return panel_of(
        "timeseries",
        title,
        text,
        width,
        targets=targets_of(queries),
        options=timeseries.Options(legend=LEGEND, tooltip=TOOLTIP),
        field=dashboard.FieldConfig(
            unit=unit,
            min_val=0,
            max_val=1 if ratio else None,
            thresholds=thresholds_of(limits),
            color=coloured(dashboard.FieldColorModeId.PALETTE_CLASSIC),
            custom=_with_limits(look or _line(), limits),
        ),
    )


def stacked(title: str, text: str, *queries: Query, unit: str, width: int = 8) -> dashboard.Panel:
    """Parts of a whole over time."""
    look = _line()
    look.fill_opacity = 40
    look.stacking = common.StackingConfig(mode=common.StackingMode.NORMAL, group="A")
    return lines(title, text, *queries, unit=unit, width=width, look=look)


def stat_of(
    title: str,
    text: str,
    *queries: Query,
    unit: str,
    width: int = 4,
    limits: Limits | None = None,
    decimals: float | None = None,
    mapped: Mapped | None = None,
    no_value: str = "-",
) -> dashboard.Panel:
    """The newest value of each query, large, with its course behind it."""
    ratio = unit == units.PercentUnit
    return panel_of(
        "stat",
        title,
        text,
        width,
        targets=targets_of(queries),
        options=stat.Options(
            reduce_options=LAST,
            graph_mode=common.BigValueGraphMode.AREA,
            color_mode=common.BigValueColorMode.VALUE,
        ),
        field=dashboard.FieldConfig(
            unit=unit,
            min_val=0 if ratio else None,
            max_val=1 if ratio else None,
            decimals=decimals,
            thresholds=thresholds_of(limits),
            color=coloured(dashboard.FieldColorModeId.THRESHOLDS),
            mappings=mappings_of(mapped),
            no_value=no_value,
        ),
    )


def bars(
    title: str,
    text: str,
    query: Query,
    *,
    unit: str,
    width: int = 6,
    limits: Limits | None = None,
) -> dashboard.Panel:
    """The newest values side by side."""
    ratio = unit == units.PercentUnit
    return panel_of(
        "bargauge",
        title,
        text,
        width,
        targets=[target_of(replace(query, at_once=True), 0)],
        options=bargauge.Options(
            reduce_options=LAST,
            display_mode=common.BarGaugeDisplayMode.BASIC,
            orientation=common.VizOrientation.HORIZONTAL,
            value_mode=common.BarGaugeValueMode.COLOR,
        ),
        field=dashboard.FieldConfig(
            unit=unit,
            min_val=0,
            max_val=1 if ratio else None,
            thresholds=thresholds_of(limits),
            color=coloured(dashboard.FieldColorModeId.THRESHOLDS),
        ),
    )


def states(
    title: str, text: str, *queries: Query, mapped: Mapped, width: int = 24
) -> dashboard.Panel:
    """A lane for each series, coloured by the word that its value stands for."""
    return panel_of(
        "state-timeline",
        title,
        text,
        width,
        targets=targets_of(queries),
        options=statetimeline.Options(
            show_value=common.VisibilityMode.NEVER, legend=LEGEND_OF_STATES, tooltip=TOOLTIP
        ),
        field=dashboard.FieldConfig(
            unit=units.NoUnit,
            mappings=mappings_of(mapped),
            color=coloured(dashboard.FieldColorModeId.THRESHOLDS),
            thresholds=thresholds_of(None),
            custom=statetimeline.FieldConfig(fill_opacity=80),
        ),
    )


LEGEND_OF_STATES = common.VizLegendOptions(
    display_mode=common.LegendDisplayMode.LIST,
    placement=common.LegendPlacement.BOTTOM,
    show_legend=True,
    calcs=[],
)


def heat(title: str, text: str, promql: str, *, unit: str, width: int = 8) -> dashboard.Panel:
    """A histogram's buckets over time. `promql` is by `le`."""
    return panel_of(
        "heatmap",
        title,
        text,
        width,
        targets=[target_of(Query(promql, "{{le}}"), 0, prometheus.PromQueryFormat.HEATMAP)],
        options=heatmap.Options(
            calculate=False,
            color=heatmap.HeatmapColorOptions(
                mode=heatmap.HeatmapColorMode.SCHEME,
                scheme="Oranges",
                scale=heatmap.HeatmapColorScale.EXPONENTIAL,
                exponent=0.5,
                steps=64,
            ),
            cell_gap=1,
            y_axis=heatmap.YAxisConfig(unit=unit, axis_placement=common.AxisPlacement.LEFT),
            legend=heatmap.HeatmapLegend(show=True),
            tooltip=heatmap.HeatmapTooltip(mode=common.TooltipDisplayMode.SINGLE),
            exemplars=heatmap.ExemplarConfig(color="rgba(255,0,255,0.7)"),
            show_value=common.VisibilityMode.NEVER,
        ),
        field=dashboard.FieldConfig(unit=unit, custom=heatmap.FieldConfig()),
    )


def _line() -> timeseries.FieldConfig:
    return timeseries.FieldConfig(
        draw_style=common.GraphDrawStyle.LINE,
        line_width=1,
        fill_opacity=8,
        show_points=common.VisibilityMode.NEVER,
        span_nulls=False,
    )


def _with_limits(look: timeseries.FieldConfig, limits: Limits | None) -> timeseries.FieldConfig:
    if limits is not None:
        look.thresholds_style = common.GraphThresholdsStyleConfig(
            mode=common.GraphThresholdsStyleMode.DASHED
        )
    return look
