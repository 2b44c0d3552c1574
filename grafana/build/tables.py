"""Panels that are tables."""

from collections.abc import Mapping
from dataclasses import dataclass

from grafana.build.parts import (
    Limits,
    Mapped,
    Query,
    coloured,
    mappings_of,
    panel_of,
    target_of,
    thresholds_of,
)
from grafana.build.sdk import common, dashboard, prometheus, table, units

TABLE = prometheus.PromQueryFormat.TABLE
CELL = common.TableColoredBackgroundCellOptions(mode=common.TableCellBackgroundDisplayMode.BASIC)
OPTIONS = table.Options(
    show_header=True,
    cell_height=common.TableCellHeight.SM,
    footer=common.TableFooterOptions(show=False, reducer=["sum"], count_rows=False),
)


@dataclass(frozen=True, slots=True)
class Column:
    """Of a table: a query with one row for each of its labels, and how its value is shown."""

    title: str
    promql: str
    unit: str = units.Short
    mapped: Mapped | None = None


def rows(
    title: str,
    text: str,
    *columns: Column,
    labels: Mapping[str, str],
    width: int = 12,
    links: Mapping[str, str] | None = None,
) -> dashboard.Panel:
    """A table with a row for each set of `labels` (name -> heading), a column for each query.

    All queries have the labels of the first; `links`: heading -> address of what it names.
    """
    refs = [chr(ord("A") + place) for place in range(len(columns))]
    values = [f"Value #{ref}" if len(columns) > 1 else "Value" for ref in refs]
    shown = {
        value: column.title for value, column in zip(values, columns, strict=True) if column.title
    }
    hidden = {"Time": True} | {value: True for value in values if value not in shown}
    return panel_of(
        "table",
        title,
        text,
        width,
        targets=[
            target_of(Query(column.promql, at_once=True), place, TABLE)
            for place, column in enumerate(columns)
        ],
        options=OPTIONS,
        field=dashboard.FieldConfig(
            unit=units.Short,
            thresholds=thresholds_of(None),
            custom=common.TableFieldOptions(filterable=True),
        ),
        overrides=[
            _override(
                column.title,
                unit=column.unit,
                **({"mappings": mappings_of(column.mapped)} if column.mapped else {}),
                **({"custom.cellOptions": CELL} if column.mapped else {}),
            )
            for column in columns
            if column.title
        ]
        + [
            _override(heading, links=[{"title": "Open", "url": url}])
            for heading, url in (links or {}).items()
        ],
        transformations=[
            dashboard.DataTransformerConfig(id_val="merge", options={}),
            dashboard.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": hidden,
                    "indexByName": {name: place for place, name in enumerate([*labels, *values])},
                    "renameByName": {**labels, **shown},
                },
            ),
        ],
    )


def matrix(
    title: str,
    text: str,
    promql: str,
    *,
    across: str,
    down: str,
    unit: str,
    limits: Limits,
    width: int = 12,
    link: str | None = None,
) -> dashboard.Panel:
    """A coloured table: label `across` gives the columns, `down` the rows."""
    corner = f"{down}\\{across}"
    return panel_of(
        "table",
        title,
        text,
        width,
        targets=[target_of(Query(promql, at_once=True), 0, TABLE)],
        options=OPTIONS,
        field=dashboard.FieldConfig(
            unit=unit,
            decimals=2,
            thresholds=thresholds_of(limits),
            color=coloured(dashboard.FieldColorModeId.THRESHOLDS),
            no_value="-",
            custom=common.TableFieldOptions(
                cell_options=CELL, align=common.FieldTextAlignment.CENTER
            ),
        ),
        overrides=[
            _override(
                corner,
                **{"custom.cellOptions": {"type": "auto"}, "custom.align": "left"},
                links=[{"title": "Open", "url": link}] if link else [],
            )
        ],
        transformations=[
            dashboard.DataTransformerConfig(
                id_val="groupingToMatrix",
                options={"columnField": across, "rowField": down, "valueField": "Value"},
            )
        ],
    )


def _override(name: str, **properties: object) -> dashboard.DashboardFieldConfigSourceOverrides:
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig(id_val="byName", options=name),
        properties=[
            dashboard.DynamicConfigValue(id_val=name, value=value)
            for name, value in properties.items()
        ],
    )
