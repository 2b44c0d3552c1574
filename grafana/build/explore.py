"""dpl-explore: any of our metrics, without writing PromQL."""

from grafana.build.board import Board, Variable, asked, node
from grafana.build.panels import lines
from grafana.build.parts import Query
from grafana.build.sdk import dashboard, units

FIRST = ["dpl_node_load1", "dpl_llm_requests_running", "dpl_router_upstream_in_flight"]
HOW = {"as it is": "last_over_time", "per second": "rate", "highest": "max_over_time"}
"""What is shown of a metric -> the function over `$__rate_interval`."""


def board() -> Board:
    page = Board(
        "explore",
        "Explore",
        "Choose metrics and nodes above; counters (…_total) want 'per second'.",
        metric(),
        how(),
        node(),
    )
    panel = lines(
        "$metric",
        "One of the metrics chosen above, of the nodes chosen above, summed over the routers.",
        Query("sum without (cluster, job, instance) (${how}(${metric}{@node}[$__rate_interval]))"),
        unit=units.Short,
    )
    panel.repeat, panel.repeat_direction, panel.max_per_row = "metric", "h", 3
    page.row("Metrics", panel, height=9)
    return page


def metric() -> Variable:
    variable = asked("metric", "Metric", 'label_values({@,__name__=~"dpl_.+"}, __name__)')
    variable.include_all, variable.all_value = False, None
    variable.current = dashboard.VariableOption(selected=True, text=FIRST, value=list(FIRST))
    return variable


def how() -> Variable:
    options = [
        dashboard.VariableOption(selected=place == 0, text=word, value=function)
        for place, (word, function) in enumerate(HOW.items())
    ]
    return Variable(
        type_val=dashboard.VariableType.CUSTOM,
        name="how",
        label="Show",
        query=",".join(f"{word} : {function}" for word, function in HOW.items()),
        current=options[0],
        options=options,
    )
