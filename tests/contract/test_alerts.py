"""Promise 6: an alert says how bad, for whom, and was seen to fire and to be silent."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.promql import uses

ROOT = Path(__file__).parents[2] / "prometheus"

SEVERITIES = {"critical", "warning", "info"}
"""critical and warning reach people, at once and by and by; info is on the page only."""
SCOPES = {"node", "slo", "router", "meta", "gpu", "batch"}
"""What is wrong: one machine, what clients feel, the router, the watching itself, a GPU, a job.
Alertmanager routes and inhibits by these words."""
ACTIONS = {
    "DplGpuXidCritical": "cordon",
    "DplGpuMissing": "cordon",
    "DplGpuRecoveryNeeded": "drain",
    "DplNodeWedged": "cordon",
}
"""Broken, while the server answers its probes."""
DASHBOARD = re.compile(
    r"/d/dpl-(node\?var-node=\{\{ \$labels\.node \| urlquery \}\}"
    r"|llm\?var-model=\{\{ \$labels\.model \| urlquery \}\}|overview|alerts|router|meta)"
)
ALWAYS = "DplWatchdog"
"""Never silent, and of severity none: it goes to the router's own alarm."""
NOT_SCRAPED = re.compile(r"node_\w+|DCGM_\w+|nvidia_smi_\w+")


@dataclass(frozen=True, slots=True)
class Rule:
    """`alert` is empty for a recorded series."""

    place: str
    alert: str
    promql: str
    said: dict[str, Any]


def documents(pattern: str) -> Iterator[tuple[str, Any]]:
    for path in sorted(ROOT.glob(pattern)):
        yield f"prometheus/{path.relative_to(ROOT)}", yaml.safe_load(path.read_text("utf-8"))


RULES = [
    Rule(
        f"{file}: {rule.get('alert') or rule['record']}", rule.get("alert", ""), rule["expr"], rule
    )
    for file, document in documents("rules/*.yml")
    for group in document["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if rule.alert]
CASES = [
    (file, case)
    for file, document in documents("tests/*_test.yml")
    for test in document["tests"]
    for case in test.get("alert_rule_test", ())
]
VALUES = [
    case["expr"]
    for _, document in documents("tests/*_test.yml")
    for test in document["tests"]
    for case in test.get("promql_expr_test", ())
]
FIRING = {case["alertname"] for _, case in CASES if case["exp_alerts"]}
SILENT = {case["alertname"] for _, case in CASES if not case["exp_alerts"]} | {ALWAYS}


def lacking(alert: str) -> str:
    return " and ".join(
        kind
        for kind, seen in (("a firing case", FIRING), ("a silent case (exp_alerts: [])", SILENT))
        if alert not in seen
    )


def test_every_alert_has_a_firing_and_a_silent_case() -> None:
    wrong = [
        f"{rule.place} lacks {lacking(rule.alert)} in prometheus/tests/"
        for rule in ALERTS
        if lacking(rule.alert)
    ]

    assert not wrong, "\n".join(wrong)


def test_every_recorded_series_has_a_value_that_was_worked_out() -> None:
    known = {use.name for promql in VALUES for use in uses(promql)}
    wrong = [
        f"{rule.place} lacks a promql_expr_test in prometheus/tests/"
        for rule in RULES
        if not rule.alert and rule.said["record"] not in known
    ]

    assert not wrong, "\n".join(wrong)


def test_no_case_is_for_an_alert_that_does_not_exist() -> None:
    """promtool finds such an alert silent."""
    known = {rule.alert for rule in ALERTS}
    wrong = [
        f"{file}: no rule is called {case['alertname']}"
        for file, case in CASES
        if case["alertname"] not in known
    ]

    assert not wrong, "\n".join(wrong)


def test_no_case_holds_annotations() -> None:
    """The rules are tested without theirs, so that a text is written once."""
    wrong = [
        f"{file}: {case['alertname']}: take exp_annotations out, the tested copy has none"
        for file, case in CASES
        if any("exp_annotations" in one for one in case["exp_alerts"])
    ]

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.alert)
def test_an_alert_says_how_bad_for_whom_and_how_long(rule: Rule) -> None:
    labels = rule.said["labels"]
    severities = {"none"} if rule.alert == ALWAYS else SEVERITIES

    assert labels.get("severity") in severities, f"{rule.place}: severity is one of {severities}"
    assert labels.get("scope") in SCOPES, f"{rule.place}: scope is one of {SCOPES}"
    if rule.alert != ALWAYS:
        assert rule.said.keys() >= {"for", "keep_firing_for"}, (
            f"{rule.place}: say `for` (0s where it is meant), and `keep_firing_for`, without which "
            "a gap in the data is told as the end"
        )


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.alert)
def test_an_alert_says_what_is_wrong_what_it_means_and_where_to_look(rule: Rule) -> None:
    said = rule.said["annotations"]

    assert said.get("summary", "").strip(), f"{rule.place}: a summary, one line"
    assert said.get("description", "").strip(), f"{rule.place}: a description"
    assert said.get("runbook_url") == f"prometheus/runbooks/{rule.alert}.md", rule.place
    assert DASHBOARD.fullmatch(said.get("dashboard_url", "")), (
        f"{rule.place}: dashboard_url is /d/dpl-NAME, with the node or the model where it has one"
    )


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.alert)
def test_only_what_the_router_cannot_see_takes_a_node_out(rule: Rule) -> None:
    """An exporter that died must not: a dead model server is seen by the router's own checks."""
    acts = rule.said["labels"].get("action")

    assert acts == ACTIONS.get(rule.alert)


def test_the_groups_of_a_test_are_evaluated_in_order() -> None:
    """Else promtool takes any order, and an alert may read what was recorded a step before."""
    groups = {
        file.removeprefix("prometheus/"): [group["name"] for group in document["groups"]]
        for file, document in documents("rules/*.yml")
    }
    for file, document in documents("tests/*_test.yml"):
        read = [
            name for path in document["rule_files"] for name in groups[path.removeprefix("../")]
        ]

        if len(read) > 1:
            assert document.get("group_eval_order") == read, f"{file}: group_eval_order: {read}"


def test_what_nobody_here_scrapes_is_a_fallback_only() -> None:
    """The shipped Prometheus knows no node_exporter: such a rule alone would be silent for ever."""
    names = [(rule, {use.name or "" for use in uses(rule.promql)}) for rule in RULES]
    wrong = [
        f"{rule.place} has only what node_exporter and the like emit: write `dpl_… or` before it"
        for rule, named in names
        if any(NOT_SCRAPED.fullmatch(name) for name in named)
        and not any("dpl_" in name for name in named)
    ]

    assert not wrong, "\n".join(wrong)
