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
ALWAYS = "DplWatchdog"
"""Never silent, and of severity none: it goes to the router's own alarm."""
LATER = {
    "DplRuleFailures",
    "DplLoadGroupSlow",
    "DplServiceDiscoveryStale",
    "DplNotificationsFailing",
    "DplStorageTrouble",
    "DplTargetDown",
    "DplNodeCpuSaturated",
    "DplNodeMemoryPressure",
    "DplFilesystemFillingUp",
    "DplFilesystemAlmostFull",
    "DplNetworkErrors",
    "DplStreamsTruncated",
    "DplCircuitOpen",
}
"""Without both cases until observability. Never longer than today: a new alert brings its own."""
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
        if rule.alert not in LATER and lacking(rule.alert)
    ]

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("alert", sorted(LATER))
def test_what_comes_later_is_still_missing(alert: str) -> None:
    assert alert in {rule.alert for rule in ALERTS}, f"{alert} is gone: take it out of LATER"
    assert lacking(alert), f"{alert} has both cases: take it out of LATER"


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
            f"{rule.place}: say `for`, and `keep_firing_for`, without which a gap in the data is "
            "told as the end"
        )


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
