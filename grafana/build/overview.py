"""dpl-overview: how the whole is, on one screen that can hang on a wall."""

from grafana.build import common
from grafana.build.board import Board, model, price
from grafana.build.limits import bound, budget, limit
from grafana.build.panels import bars, stacked, stat_of
from grafana.build.parts import BAD, BUSY, GOOD, ODD, Limits, Query, above, below
from grafana.build.sdk import dashboard, units
from grafana.build.tables import matrix

TIERS = Limits(((0, GOOD), (1, BUSY), (2, ODD), (3, BAD)), first=GOOD)


def board() -> Board:
    overview = Board(
        "overview",
        "Overview",
        "Nodes, requests, money and what is wrong, on one screen.",
        model(),
        price(),
    )
    overview.row("Now", *now(), height=4)
    overview.row("Nodes", common.node_states(""), height=10)
    overview.more(*nodes(), height=9)
    overview.row("Scheduling", *scheduling())
    return overview


def now() -> list[dashboard.Panel]:
    spent = common.energy("increase")
    return [
        stat_of(
            "Nodes",
            "Nodes that get requests, those without a fresh value (used last), and all.",
            Query("sum(node:dpl_eligible:bool{@})", "eligible"),
            Query(
                "count(max by (node) (dpl_router_node_cordoned{@}))"
                " - count(max by (node) (node:dpl_eligible:bool{@}))",
                "unknown",
            ),
            Query("count(max by (node) (dpl_router_node_cordoned{@}))", "all"),
            unit=units.Short,
            width=8,
        ),
        stat_of(
            "Requests in flight",
            "Open requests of clients.",
            Query("sum(dpl_router_requests_in_flight{@model})"),
            unit=units.Short,
        ),
        stat_of(
            "Waiting for a node",
            "Requests in the router's own queue.",
            Query("sum(dpl_router_queue_depth{@model})"),
            unit=units.Short,
        ),
        stat_of(
            "Tokens per second",
            "Output tokens as the servers reported them.",
            Query(
                'sum(rate(dpl_router_tokens_total{@model,direction="output"}[$__rate_interval]))'
            ),
            unit=units.Short,
            decimals=1,
        ),
        stat_of(
            "First token, p95",
            "19 of 20 answers began within this time. Red past the objective.",
            Query(
                "histogram_quantile(0.95, sum by (le) "
                "(rate(dpl_router_time_to_first_token_seconds_bucket{@model}[$__rate_interval])))"
            ),
            unit=units.Seconds,
            limits=above(bound("model:dpl_slo_ttft_errors:ratio_rate5m")),
        ),
        stat_of(
            "Error budget left",
            "Of the worst model, if 30 days went like the last three. Under 0 the objective of "
            f"{1 - budget('DplAvailabilitySloBurn'):.1%} is missed.",
            Query(
                "1 - max(model:dpl_slo_availability_errors:ratio_rate3d{@model})"
                f" / {budget('DplAvailabilitySloBurn'):g}"
            ),
            unit=units.PercentUnit,
            width=8,
            limits=below(0),
        ),
        stat_of(
            "Firing alerts",
            "By severity; the dashboard of alerts lists them.",
            Query(
                "count by (severity) "
                '(ALERTS{@,alertstate="firing",severity=~"critical|warning|info"})',
                "{{severity}}",
            ),
            unit=units.Short,
            width=8,
            no_value="none",
        ),
        stat_of(
            "GPU power",
            "Of all cards that count their energy.",
            Query(f"sum({common.energy('rate')})", interval=common.DCGM_INTERVAL),
            unit=units.Watt,
        ),
        stat_of(
            "Cost of a million tokens",
            "Energy of the GPUs over the output tokens of their nodes, both in the time shown, at "
            "that price.",
            Query(
                f"1e6 * sum({spent}) / sum(sum by (node) ("
                "increase(dpl_router_upstream_output_tokens_total{@}[$__range]))"
                f" and on (node) {spent}) / 3.6e6 * $price_kwh"
            ),
            unit=units.Short,
            decimals=2,
        ),
    ]


def nodes() -> list[dashboard.Panel]:
    return [
        matrix(
            "Load score",
            "Whole number: 0 loaded on a GPU, 1 a GPU that must load it, 2 loaded on a CPU, 3 a "
            "CPU that must load it. After the point: how busy the node is. The lowest is the best.",
            "max by (node, model) (node_model:dpl_load:score{@model})",
            across="model",
            down="node",
            unit=units.NoUnit,
            limits=TIERS,
            link=common.NODE_URL,
        ),
        bars(
            "GPU busy",
            "Share of time a kernel ran, mean over the cards of a node.",
            Query("max by (node) (node:dpl_gpu_utilization:avg{@})", "{{node}}"),
            unit=units.PercentUnit,
        ),
        bars(
            "GPU memory",
            "In use. Servers that reserve it up front are always near the top.",
            Query("max by (node) (node:dpl_gpu_memory_utilization:ratio{@})", "{{node}}"),
            unit=units.PercentUnit,
            limits=above(
                limit("DplGpuMemoryExhausted", "node:dpl_gpu_memory_utilization:ratio"),
                color=ODD,
            ),
        ),
    ]


def scheduling() -> list[dashboard.Panel]:
    return [
        stacked(
            "Decisions by reason",
            "Why a node was chosen.",
            Query(
                "sum by (reason) "
                "(rate(dpl_router_scheduling_decisions_total{@model}[$__rate_interval]))",
                "{{reason}}",
            ),
            unit=units.RequestsPerSecond,
        ),
        common.retries("model"),
        common.facts_from(),
    ]
