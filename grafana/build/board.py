"""A dashboard: rows of panels, with the variables, links and annotations that all of ours share."""

import zlib

from grafana.build.parts import SOURCE, Query
from grafana.build.sdk import dashboard

COLUMNS = 24
Variable = dashboard.VariableModel


class Board:
    """Filled row by row. `uid` is the word after dpl-."""

    def __init__(
        self,
        word: str,
        title: str,
        text: str,
        *variables: Variable,
        since: str = "now-1h",
        refresh: str = "10s",
    ) -> None:
        self._y = 0
        self._panels: list[dashboard.Panel | dashboard.RowPanel] = []
        self._dashboard = dashboard.Dashboard(
            uid=f"dpl-{word}",
            title=f"DPL / {title}",
            description=text,
            tags=["dpl"],
            editable=False,
            graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
            timezone="browser",
            refresh=refresh,
            time=dashboard.DashboardDashboardTime(from_val=since, to="now"),
            timepicker=dashboard.TimePickerConfig(),
            templating=dashboard.DashboardDashboardTemplating(
                list_val=[data_source(), cluster(), *variables]
            ),
            annotations=dashboard.AnnotationContainer(list_val=annotations()),
            links=[others()],
        )

    def row(
        self,
        title: str,
        *panels: dashboard.Panel,
        height: int = 8,
        repeat: str | None = None,
    ) -> None:
        """Panels side by side, wrapped at 24 columns; with `repeat` once per value of it."""
        head = dashboard.RowPanel(
            title=title,
            id_val=number(f"row {title}"),
            grid_pos=dashboard.GridPos(h=1, w=COLUMNS, x=0, y=self._y),
            repeat=repeat,
            panels=[],
        )
        self._panels.append(head)
        self._y += 1
        self.more(*panels, height=height)

    def more(self, *panels: dashboard.Panel, height: int = 8) -> None:
        """Further panels of the same row, on a line of their own."""
        x = 0
        for panel in panels:
            assert panel.grid_pos is not None
            width = panel.grid_pos.w
            if x + width > COLUMNS:
                x, self._y = 0, self._y + height
            panel.grid_pos = dashboard.GridPos(h=height, w=width, x=x, y=self._y)
            panel.id_val = number(str(panel.title))
            x += width
            self._panels.append(panel)
        self._y += height

    def build(self) -> dashboard.Dashboard:
        self._dashboard.panels = self._panels
        return self._dashboard


def number(title: str) -> int:
    """The panel's id: of its title, so that a link to it outlives panels put before it."""
    return zlib.crc32(title.encode()) % 1_000_000 + 1


def asked(name: str, label: str, promql: str) -> Variable:
    """A variable whose values Prometheus lists; "All" also matches where the label is missing."""
    return Variable(
        type_val=dashboard.VariableType.QUERY,
        name=name,
        label=label,
        datasource=SOURCE,
        definition=Query(promql).expr,
        query={"query": Query(promql).expr, "refId": name},
        multi=True,
        include_all=True,
        all_value=".*",
        current=dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]),
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.NATURAL_ASC,
    )


def data_source() -> Variable:
    return Variable(
        type_val=dashboard.VariableType.DATASOURCE,
        name="datasource",
        label="Data source",
        query="prometheus",
    )


def cluster() -> Variable:
    return asked("cluster", "Cluster", "label_values(up, cluster)")


def node() -> Variable:
    return asked("node", "Node", "label_values(dpl_router_node_cordoned{@}, node)")


def model() -> Variable:
    return asked("model", "Model", "label_values(dpl_router_requests_total{@}, model)")


def gpu() -> Variable:
    return asked("gpu", "GPU", "label_values(dpl_gpu_info{@node}, gpu)")


def price() -> Variable:
    return Variable(
        type_val=dashboard.VariableType.TEXTBOX,
        name="price_kwh",
        label="Price of a kWh",
        query="0.30",
        current=dashboard.VariableOption(selected=True, text="0.30", value="0.30"),
    )


def others() -> dashboard.DashboardLink:
    """A list of our dashboards that keeps the time and the variables."""
    return dashboard.DashboardLink(
        title="DPL",
        type_val=dashboard.DashboardLinkType.DASHBOARDS,
        icon="external link",
        tooltip="Our other dashboards, at the same time",
        tags=["dpl"],
        as_dropdown=True,
        include_vars=True,
        keep_time=True,
    )


def annotations() -> list[dashboard.AnnotationQuery]:
    return [
        _mark(
            "Firing alerts",
            "red",
            'ALERTS{@,alertstate="firing",alertname=~"Dpl.*",severity!="none"}',
            title="{{alertname}}",
            text="{{node}} {{model}} {{gpu}}",
            tags="severity,scope",
        ),
        _mark(
            "Cordons",
            "orange",
            "max by (node) (dpl_router_node_cordoned{@}) == 1",
            title="{{node}} is cordoned",
            text="The router sends it nothing new.",
            tags="node",
        ),
        _mark(
            "New versions",
            "blue",
            "count by (node, version) (dpl_exporter_build_info{@}"
            " unless on (node, version) dpl_exporter_build_info{@} offset 5m"
            " and on (node) dpl_exporter_build_info{@} offset 5m)"
            " or count by (version) (dpl_router_build_info{@}"
            " unless on (version) dpl_router_build_info{@} offset 5m"
            " and on () dpl_router_build_info{@} offset 5m)",
            title="Version {{version}}",
            text="{{node}}",
            tags="version",
        ),
    ]


def _mark(
    name: str, color: str, promql: str, *, title: str, text: str, tags: str
) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery(
        name=name,
        datasource=SOURCE,
        enable=True,
        icon_color=color,
        expr=Query(promql).expr,
        title_format=title,
        text_format=text,
        tag_keys=tags,
        step="15s",
    )
