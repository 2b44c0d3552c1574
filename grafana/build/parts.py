"""What all kinds of panel are made of: the query, the limits, the words for values.

In PromQL `{@}`, `{@node}`, `{@model}`, `{@gpu}` stand for the matchers of the variables.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana.build.sdk import common, dashboard, prometheus

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
MATCHERS = {
    "": 'cluster=~"$cluster"',
    "node": 'cluster=~"$cluster",node=~"$node"',
    "model": 'cluster=~"$cluster",model=~"$model"',
    "gpu": 'cluster=~"$cluster",node=~"$node",gpu=~"$gpu"',
}
GOOD, BAD, BUSY, ODD, NONE = "green", "red", "blue", "orange", "#8e8e8e"
Mapped = Mapping[int, tuple[str, str]]
"""Value -> its word and its colour."""
YES_IS_BAD: Mapped = {0: ("no", GOOD), 1: ("yes", BAD)}


@dataclass(frozen=True, slots=True)
class Query:
    """`legend` may hold labels: {{node}}."""

    promql: str
    legend: str = ""
    at_once: bool = False
    """The newest value only: where its course costs too much, or says nothing."""
    exemplars: bool = False
    """Single requests as dots."""
    interval: str = ""
    """Of the scrapes, where they are rarer than the data source says (`timeInterval`)."""

    @property
    def expr(self) -> str:
        return re.sub(r"@(\w*)", lambda found: MATCHERS[found[1]], self.promql)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the colour turns; drawn as a dashed line over time."""

    steps: tuple[tuple[float, str], ...]
    first: str = GOOD


def above(value: float, *, color: str = BAD) -> Limits:
    """Bad from `value` on."""
    return Limits(((value, color),))


def below(value: float) -> Limits:
    """Bad under `value`."""
    return Limits(((value, GOOD),), first=BAD)


def panel_of(
    kind: str,
    title: str,
    text: str,
    width: int,
    *,
    targets: Sequence[prometheus.Dataquery],
    options: object,
    field: dashboard.FieldConfig,
    overrides: Sequence[dashboard.DashboardFieldConfigSourceOverrides] = (),
    transformations: Sequence[dashboard.DataTransformerConfig] = (),
) -> dashboard.Panel:
    return dashboard.Panel(
        type_val=kind,
        title=title,
        description=text,
        datasource=SOURCE,
        grid_pos=dashboard.GridPos(w=width),
        targets=list(targets),
        options=options,
        field_config=dashboard.FieldConfigSource(defaults=field, overrides=list(overrides)),
        transformations=list(transformations) or None,
    )


def targets_of(queries: Sequence[Query]) -> list[prometheus.Dataquery]:
    return [target_of(query, place) for place, query in enumerate(queries)]


def target_of(
    query: Query, place: int, form: prometheus.PromQueryFormat | None = None
) -> prometheus.Dataquery:
    return prometheus.Dataquery(
        datasource=SOURCE,
        expr=query.expr,
        legend_format=query.legend or None,
        ref_id=chr(ord("A") + place),
        instant=query.at_once,
        range_val=not query.at_once,
        format_val=form,
        exemplar=query.exemplars or None,
        interval=query.interval or None,
        editor_mode=prometheus.QueryEditorMode.CODE,
    )


def thresholds_of(limits: Limits | None) -> dashboard.ThresholdsConfig:
    limits = limits or Limits((), first="text")
    steps = [dashboard.Threshold(value=None, color=limits.first)]
    steps += [dashboard.Threshold(value=value, color=color) for value, color in limits.steps]
    return dashboard.ThresholdsConfig(mode=dashboard.ThresholdsMode.ABSOLUTE, steps=steps)


def coloured(mode: dashboard.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor(mode=mode)


def mappings_of(mapped: Mapped | None) -> list[dashboard.ValueMapping] | None:
    if mapped is None:
        return None
    options = {
        str(value): dashboard.ValueMappingResult(text=word, color=color, index=place)
        for place, (value, (word, color)) in enumerate(mapped.items())
    }
    return [dashboard.ValueMap(options=options)]
