"""dpl-alerts: what fires, what fired, for how long, and whether anybody was told."""

from grafana.build import common
from grafana.build.board import Board
from grafana.build.panels import bars, lines, stat_of, states
from grafana.build.parts import BAD, Mapped, Query
from grafana.build.sdk import dashboard, units
from grafana.build.tables import Column, rows

FIRES: Mapped = {1: ("fires", BAD)}
OURS = '@,alertname=~"Dpl.*",severity!="none"'
FIRING = f'ALERTS{{{OURS},alertstate="firing"}}'
SILENCES = "/alerting/silences?alertmanager=Alertmanager"


def board() -> Board:
    page = Board("alerts", "Alerts", "What fires and what fired in the time shown.", since="now-6h")
    page.row("Now", *now(), height=5)
    page.more(listed(), height=7)
    page.row("In the time shown", history(), height=8)
    page.more(*figures())
    page.row("Notifications", *notifications())
    return page


def now() -> list[dashboard.Panel]:
    return [
        stat_of(
            "Firing",
            "By severity.",
            Query(f"count by (severity) ({FIRING})", "{{severity}}"),
            unit=units.Short,
            width=8,
            no_value="none",
        ),
        stat_of(
            "Pending",
            "True, and not yet for long enough.",
            Query(
                f'count(ALERTS{{{OURS},alertstate="pending"}}) or vector(0)',
            ),
            unit=units.Short,
        ),
        stat_of(
            "Silenced or inhibited",
            "Alerts that Alertmanager has and tells nobody.",
            Query('sum(alertmanager_alerts{@,state="suppressed"})'),
            unit=units.Short,
        ),
        stat_of(
            "Dead man's switch",
            "1: the router has not heard from Alertmanager for three repeats.",
            Query("max(dpl_router_watchdog_silent{@})"),
            unit=units.NoUnit,
            mapped={0: ("heard", "green"), 1: ("silent", BAD)},
        ),
        stat_of(
            "Cordons by alerts",
            "In the time shown.",
            Query('sum(increase(dpl_router_node_cordons_total{@,source="alert"}[$__range]))'),
            unit=units.Short,
            decimals=0,
        ),
    ]


def listed() -> dashboard.Panel:
    panel = rows(
        "Firing alerts",
        "Runbooks: prometheus/runbooks/NAME.md. Silences: the link at the corner of this panel.",
        Column("", f"max by (alertname, severity, node, model, gpu, scope) ({FIRING})"),
        labels={
            "alertname": "Alert",
            "severity": "Severity",
            "scope": "Scope",
            "node": "Node",
            "model": "Model",
            "gpu": "GPU",
        },
        width=24,
        links={"Node": common.NODE_URL, "Model": common.MODEL_URL},
    )
    panel.links = [
        dashboard.DashboardLink(
            title="Silences",
            type_val=dashboard.DashboardLinkType.LINK,
            icon="external link",
            tooltip="Silences of the Alertmanager",
            url=SILENCES,
        )
    ]
    return panel


def history() -> dashboard.Panel:
    return states(
        "What fired, and where",
        "A lane for each alert and node.",
        Query(
            f"max by (alertname, node, model, gpu) ({FIRING})",
            "{{alertname}} {{node}} {{model}} {{gpu}}",
        ),
        mapped=FIRES,
    )


def figures() -> list[dashboard.Panel]:
    seconds = f"sum by (alertname) (count_over_time({FIRING}[$__range:$__interval]))"
    began = f"(ALERTS_FOR_STATE{{{OURS}}} and ignoring (alertstate) {FIRING})"
    times = f"sum by (alertname) (1 + changes({began}[$__range:$__interval]))"
    return [
        bars(
            "How often",
            "Times that it fired, on all of its nodes; what ended while pending does not count.",
            Query(times, "{{alertname}}"),
            unit=units.Short,
            width=8,
        ),
        bars(
            "How long in all",
            "Time of firing, summed over its nodes.",
            Query(f"{seconds} * $__interval_ms / 1000", "{{alertname}}"),
            unit=units.Seconds,
            width=8,
        ),
        bars(
            "How long each time",
            "Mean time from firing to its end (MTTR); one that fires still counts up to now.",
            Query(f"{seconds} * $__interval_ms / 1000 / {times}", "{{alertname}}"),
            unit=units.Seconds,
            width=8,
        ),
    ]


def notifications() -> list[dashboard.Panel]:
    sent = "alertmanager_notifications_total{@}"
    failed = "alertmanager_notifications_failed_total{@}"
    used = f"(sum by (integration) (increase({sent}[$__range])) > 0)"
    return [
        lines(
            "Notifications sent",
            "By Alertmanager, for each way that it used in the time shown.",
            Query(
                f"sum by (integration) (rate({sent}[$__rate_interval]))"
                f" and on (integration) {used}",
                "{{integration}}",
            ),
            unit=units.OpsPerSecond,
        ),
        lines(
            "Notifications that failed",
            "Any is an alert of its own. The same ways.",
            Query(
                f"sum by (integration) (rate({failed}[$__rate_interval]))"
                f" and on (integration) {used}",
                "{{integration}}",
            ),
            unit=units.OpsPerSecond,
        ),
        lines(
            "What alerts did",
            "Cordons and drains that alerts asked for, by what came of it.",
            Query(
                "sum by (action, outcome) "
                "(increase(dpl_router_alert_actions_total{@}[$__rate_interval]))",
                "{{action}} {{outcome}}",
            ),
            unit=units.Short,
        ),
    ]
