"""dpl-meta: does the watching itself work, and what does it cost?"""

from grafana.build.board import Board
from grafana.build.limits import limit, weights
from grafana.build.panels import lines, stat_of
from grafana.build.parts import BAD, GOOD, Query, above
from grafana.build.sdk import dashboard, units
from grafana.build.tables import Column, rows


def board() -> Board:
    page = Board("meta", "Watching", "Prometheus, its rules and Alertmanager.")
    page.row("Now", *now(), height=4)
    page.row("Scrapes", *scrapes())
    page.row("Rules", *rules())
    page.row("Prometheus and Alertmanager", *programs())
    return page


def now() -> list[dashboard.Panel]:
    loaded = {0: ("refused", BAD), 1: ("loaded", GOOD)}
    return [
        stat_of(
            "Targets up",
            "Of all that Prometheus knows.",
            Query("sum(up{@})", "up"),
            Query("count(up{@})", "all"),
            unit=units.Short,
            width=6,
        ),
        stat_of(
            "Prometheus's settings",
            "Of the last reload.",
            Query("min(prometheus_config_last_reload_successful{@})"),
            unit=units.NoUnit,
            mapped=loaded,
        ),
        stat_of(
            "Alertmanager's settings",
            "Of the last reload.",
            Query("min(alertmanager_config_last_reload_successful{@})"),
            unit=units.NoUnit,
            mapped=loaded,
        ),
        stat_of(
            "Alertmanagers",
            "That Prometheus knows.",
            Query("min(prometheus_notifications_alertmanagers_discovered{@})"),
            unit=units.Short,
            width=5,
        ),
        stat_of(
            "Series in memory",
            "Of Prometheus.",
            Query("sum(prometheus_tsdb_head_series{@})"),
            unit=units.Short,
            width=5,
        ),
    ]


def scrapes() -> list[dashboard.Panel]:
    return [
        lines(
            "Time of a scrape",
            "The slowest of each job.",
            Query("max by (job) (scrape_duration_seconds{@})", "{{job}}"),
            unit=units.Seconds,
            limits=above(limit("DplScrapeTooBig", "scrape_duration_seconds")),
        ),
        lines(
            "Series of a scrape",
            "The largest of each job; the line is an exporter's budget.",
            Query("max by (job) (scrape_samples_post_metric_relabeling{@})", "{{job}}"),
            unit=units.Short,
            limits=above(limit("DplScrapeTooBig", "scrape_samples_post_metric_relabeling")),
        ),
        rows(
            "Targets",
            "Each with its state.",
            Column(
                "Up",
                "max by (job, node, instance) (up{@})",
                mapped={0: ("no", BAD), 1: ("yes", GOOD)},
            ),
            labels={"job": "Job", "node": "Node", "instance": "Target"},
            width=8,
        ),
    ]


def rules() -> list[dashboard.Panel]:
    lasted = "prometheus_rule_group_last_duration_seconds{@}"
    return [
        lines(
            "Time of a rule group",
            "Of its last run.",
            Query(by_group(lasted), "{{group}}"),
            unit=units.Seconds,
        ),
        lines(
            "Time of a rule group, of its interval",
            "Past the line of dpl_load the scores get older than they look.",
            Query(by_group(f"{lasted} / prometheus_rule_group_interval_seconds{{@}}"), "{{group}}"),
            unit=units.PercentUnit,
            limits=above(weights("DplLoadGroupSlow")[0]),
        ),
        lines(
            "Runs missed, rules failed",
            "Both should be 0.",
            Query(
                "sum(increase(prometheus_rule_group_iterations_missed_total{@}[$__rate_interval]))",
                "runs missed",
            ),
            Query(
                "sum(increase(prometheus_rule_evaluation_failures_total{@}[$__rate_interval]))",
                "rules failed",
            ),
            unit=units.Short,
        ),
    ]


def by_group(promql: str) -> str:
    """Prometheus names a group with the path of its file; `group` is its name alone."""
    named = f"label_replace({promql}, 'group', '$1', 'rule_group', '.*;(.*)')"
    return f"max by (group) ({named})"


def programs() -> list[dashboard.Panel]:
    return [
        lines(
            "Samples taken in",
            "Per second.",
            Query(
                "sum(rate(prometheus_tsdb_head_samples_appended_total{@}[$__rate_interval]))",
                "samples",
            ),
            unit=units.Short,
        ),
        lines(
            "Memory",
            "Of Prometheus, Alertmanager and routers.",
            Query("max by (job) (process_resident_memory_bytes{@})", "{{job}}"),
            unit=units.BytesIEC,
        ),
        lines(
            "Storage trouble",
            "Damaged write-ahead logs, failed compactions and reloads.",
            Query(
                "sum(increase(prometheus_tsdb_wal_corruptions_total{@}[$__rate_interval]))",
                "write-ahead log",
            ),
            Query(
                "sum(increase(prometheus_tsdb_compactions_failed_total{@}[$__rate_interval]))",
                "compactions",
            ),
            Query(
                "sum(increase(prometheus_tsdb_reloads_failures_total{@}[$__rate_interval]))",
                "reloads",
            ),
            unit=units.Short,
        ),
        lines(
            "Node list",
            "Failures to read it; Prometheus goes on with the last one.",
            Query(
                "sum(increase(prometheus_sd_http_failures_total{@}[$__rate_interval]))", "failures"
            ),
            unit=units.Short,
        ),
        lines(
            "Alerts on their way",
            "To Alertmanager: sent, and lost on the way.",
            Query("sum(rate(prometheus_notifications_sent_total{@}[$__rate_interval]))", "sent"),
            Query(
                "sum(rate(prometheus_notifications_errors_total{@}[$__rate_interval]))"
                " + sum(rate(prometheus_notifications_dropped_total{@}[$__rate_interval]))",
                "lost",
            ),
            unit=units.OpsPerSecond,
        ),
        lines(
            "Notifications that failed",
            "Of Alertmanager, all ways together.",
            Query(
                "sum(rate(alertmanager_notifications_failed_total{@}[$__rate_interval]))",
                "failed",
            ),
            unit=units.OpsPerSecond,
        ),
    ]
