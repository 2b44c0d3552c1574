"""dpl-router: what the router decides, from which facts, and whether it is well."""

from grafana.build import common
from grafana.build.board import Board, node
from grafana.build.limits import limit
from grafana.build.panels import lines, stacked, stat_of, states
from grafana.build.parts import BAD, GOOD, ODD, Mapped, Query, above
from grafana.build.sdk import dashboard, units

CIRCUITS: Mapped = {0: ("closed", GOOD), 1: ("half", ODD), 2: ("open", BAD)}


def board() -> Board:
    page = Board("router", "Router", "Decisions, facts, leases and the router itself.", node())
    page.row("Now", *now(), height=4)
    page.row("Decisions", *decisions())
    page.row("Facts", *facts())
    page.row("Nodes", *nodes())
    page.row("Leases", *leases())
    page.row("Alerts that act", *acting())
    page.row("The program", *program())
    return page


def now() -> list[dashboard.Panel]:
    return [
        stat_of(
            "Age of the view",
            "Of the newest fact that decisions are based on.",
            Query("max(time() - (dpl_router_load_snapshot_timestamp_seconds{@} > 0))"),
            unit=units.Seconds,
            limits=above(limit("DplLoadViewStale", "dpl_router_load_snapshot_timestamp_seconds")),
        ),
        stat_of(
            "Nodes in the view",
            "With facts.",
            Query("max(dpl_router_load_snapshot_nodes{@})"),
            unit=units.Short,
        ),
        stat_of(
            "Mode",
            "promql: facts from Prometheus. direct: the router asks the exporters. blind: its own "
            "counts only.",
            Query(common.MODE),
            unit=units.NoUnit,
            mapped=common.MODES,
        ),
        stat_of(
            "nodes.yaml",
            "Refused: the last change has a mistake, and the file before it is in use.",
            Query("min(dpl_router_config_last_reload_successful{@})"),
            unit=units.NoUnit,
            mapped={0: ("refused", BAD), 1: ("in use", GOOD)},
        ),
        stat_of(
            "Nodes held back",
            "Cordoned, by an operator or an alert.",
            Query("sum(max by (node) (dpl_router_node_cordoned{@node}))"),
            unit=units.Short,
        ),
        stat_of(
            "Models with two faces",
            "Names under which nodes have different weights.",
            Query("sum(max by (model) (dpl_model_identity_mismatch{@}))"),
            unit=units.Short,
            limits=above(1),
        ),
    ]


def decisions() -> list[dashboard.Panel]:
    return [
        stacked(
            "Decisions by reason",
            "Why a node was chosen.",
            Query(
                "sum by (reason) "
                "(rate(dpl_router_scheduling_decisions_total{@}[$__rate_interval]))",
                "{{reason}}",
            ),
            unit=units.RequestsPerSecond,
        ),
        stacked(
            "Nodes left out",
            "Why a node was no candidate; one decision can leave out many.",
            Query(
                "sum by (reason) "
                "(rate(dpl_router_scheduling_rejections_total{@}[$__rate_interval]))",
                "{{reason}}",
            ),
            unit=units.OpsPerSecond,
        ),
        lines(
            "Cost of a decision",
            "Time that the arithmetic takes.",
            *(
                Query(
                    f"histogram_quantile({share}, sum by (le) (rate("
                    "dpl_router_scheduling_duration_seconds_bucket{@}[$__rate_interval])))",
                    f"p{share * 100:g}",
                )
                for share in (0.5, 0.99)
            ),
            unit=units.Seconds,
        ),
        common.retries(""),
        lines(
            "Streams cut short",
            "Answers that ended without their last event, by node.",
            Query(
                "sum by (node) (rate(dpl_router_streams_truncated_total{@node}[$__rate_interval]))"
                " / (sum by (node) "
                "(rate(dpl_router_upstream_requests_total{@node}[$__rate_interval])) > 0)",
                "{{node}}",
            ),
            unit=units.PercentUnit,
            limits=above(limit("DplStreamsTruncated", "dpl_router_streams_truncated_total")),
        ),
        lines(
            "Models loaded anew",
            "Seen by the router, by cause.",
            Query(
                "sum by (cause) "
                "(increase(dpl_router_model_reloads_total{@node}[$__rate_interval]))",
                "{{cause}}",
            ),
            unit=units.Short,
        ),
    ]


def facts() -> list[dashboard.Panel]:
    return [
        common.facts_from(),
        lines(
            "Age of the view over time",
            "Past the line an alert fires.",
            Query(
                "max by (instance) (time() - (dpl_router_load_snapshot_timestamp_seconds{@} > 0))",
                "{{instance}}",
            ),
            unit=units.Seconds,
            limits=above(limit("DplLoadViewStale", "dpl_router_load_snapshot_timestamp_seconds")),
        ),
        lines(
            "Questions to Prometheus",
            "p95 of their time, by query; the poll gives up after a second.",
            Query(
                "histogram_quantile(0.95, sum by (le, query) (rate("
                "dpl_router_prometheus_query_duration_seconds_bucket{@}[$__rate_interval])))",
                "{{query}}",
            ),
            unit=units.Seconds,
        ),
        lines(
            "Questions that failed",
            "By reason.",
            Query(
                "sum by (reason) "
                "(rate(dpl_router_prometheus_query_failures_total{@}[$__rate_interval]))",
                "{{reason}}",
            ),
            unit=units.OpsPerSecond,
        ),
        lines(
            "Questions of people",
            "PromQL through the router's own door, by outcome.",
            Query(
                "sum by (outcome) "
                "(rate(dpl_router_promql_proxy_requests_total{@}[$__rate_interval]))",
                "{{outcome}}",
            ),
            unit=units.OpsPerSecond,
        ),
        lines(
            "Prompts cut by a node",
            "Requests of which a node read fewer tokens than were sent.",
            Query(
                "sum by (node, model) "
                "(increase(dpl_router_prompt_truncated_total{@node}[$__rate_interval]))",
                "{{node}} {{model}}",
            ),
            unit=units.Short,
        ),
    ]


def nodes() -> list[dashboard.Panel]:
    return [
        common.node_states("node", width=12),
        states(
            "Circuits",
            "Open: the router stopped sending after failures in a row; half: one request tries it.",
            Query("max by (node) (dpl_router_circuit_state{@node})", "{{node}}"),
            mapped=CIRCUITS,
            width=12,
        ),
    ]


def leases() -> list[dashboard.Panel]:
    return [
        lines(
            "Leases in use",
            "Held by this router.",
            Query("sum by (instance) (dpl_router_lock_leases_in_use{@})", "{{instance}}"),
            unit=units.Short,
            width=6,
        ),
        lines(
            "Asked for",
            "By outcome; a conflict means that somebody else has the node.",
            Query(
                "sum by (outcome) (rate(dpl_router_lock_acquisitions_total{@}[$__rate_interval]))",
                "{{outcome}}",
            ),
            unit=units.OpsPerSecond,
            width=6,
        ),
        lines(
            "Time to get one",
            "Asked beside the request, so clients do not wait for it.",
            Query(
                "histogram_quantile(0.95, sum by (le) "
                "(rate(dpl_router_lock_acquire_seconds_bucket{@}[$__rate_interval])))",
                "p95",
            ),
            unit=units.Seconds,
            width=6,
        ),
        lines(
            "Lost and renewed",
            "A lost one: the node's lock belongs to somebody else.",
            Query("sum(rate(dpl_router_lock_leases_lost_total{@}[$__rate_interval]))", "lost"),
            Query(
                "sum by (outcome) (rate(dpl_router_lock_renewals_total{@}[$__rate_interval]))",
                "renewal {{outcome}}",
            ),
            unit=units.OpsPerSecond,
            width=6,
        ),
    ]


def acting() -> list[dashboard.Panel]:
    return [
        lines(
            "Calls of Alertmanager",
            "By outcome.",
            Query(
                "sum by (outcome) (rate(dpl_router_alert_webhooks_total{@}[$__rate_interval]))",
                "{{outcome}}",
            ),
            unit=units.RequestsPerSecond,
        ),
        lines(
            "What alerts did",
            "floor: not done, since too few nodes would be left.",
            Query(
                "sum by (action, outcome) "
                "(increase(dpl_router_alert_actions_total{@}[$__rate_interval]))",
                "{{action}} {{outcome}}",
            ),
            unit=units.Short,
        ),
        lines(
            "Since the dead man's call",
            "Alertmanager calls the router all the time; silence means that no alert would come.",
            Query(
                "max by (instance) "
                "(time() - (dpl_router_watchdog_last_received_timestamp_seconds{@} > 0))",
                "{{instance}}",
            ),
            unit=units.Seconds,
        ),
    ]


def program() -> list[dashboard.Panel]:
    return [
        lines(
            "How late the loop wakes",
            "All streams wait as long as it does; a long one is work on it that belongs elsewhere.",
            *(
                Query(
                    f"histogram_quantile({share}, sum by (le, instance) (rate("
                    "dpl_router_event_loop_lag_seconds_bucket{@}[$__rate_interval])))",
                    f"{{{{instance}}}} p{share * 100:g}",
                )
                for share in (0.5, 0.99)
            ),
            unit=units.Seconds,
            width=8,
        ),
        lines(
            "Processor",
            "CPU seconds per second; one is all that a router can use.",
            Query(
                'sum by (instance) (rate(process_cpu_seconds_total{@,job="dpl-router"}'
                "[$__rate_interval]))",
                "{{instance}}",
            ),
            unit=units.Short,
            width=8,
        ),
        lines(
            "Memory",
            "Resident.",
            Query(
                'max by (instance) (process_resident_memory_bytes{@,job="dpl-router"})',
                "{{instance}}",
            ),
            unit=units.BytesIEC,
            width=8,
        ),
    ]
