"""Who may say what: the jobs of prometheus.yml and the names that each lets through."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.emitted import exporter_metrics, router_metrics
from tests.contract.promql import uses

ROOT = Path(__file__).parents[2] / "prometheus"
OURS = {"dpl-router", "prometheus", "alertmanager"}
"""Run by whoever runs Prometheus."""
SPOKEN_OF = ("up", "scrape_duration_seconds", "scrape_samples_post_metric_relabeling", "ALERTS")
"""Prometheus's own words about others."""
EVERYBODYS = ("process_", "gen_ai_")
"""Many programs have them; whoever reads them says of which job, or reads by `instance`."""
JOBS: Mapping[str, Any] = {
    job["job_name"]: job
    for job in yaml.safe_load((ROOT / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
}
LIMITS = {"sample_limit", "body_size_limit", "label_limit", "label_value_length_limit"}
STRANGERS = [name for name in JOBS if name not in OURS]
RULES = [
    rule
    for path in sorted((ROOT / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
READ = {use.name for rule in RULES for use in uses(rule["expr"]) if use.name}
"""What the rules go by."""


def taken(job: str, names: Iterable[str]) -> set[str]:
    """Those that Prometheus keeps of a page of `job`."""
    drops = [one["regex"] for one in JOBS[job]["metric_relabel_configs"]]
    return {name for name in names if not any(re.fullmatch(drop, name) for drop in drops)}


@pytest.mark.parametrize("job", STRANGERS)
def test_a_page_that_has_no_end_is_left(job: str) -> None:
    """Prometheus would read it into memory, whatever `sample_limit` says."""
    assert JOBS[job].keys() >= LIMITS, f"prometheus.yml: {job}: {sorted(LIMITS)}"


@pytest.mark.parametrize("job", STRANGERS)
def test_nobody_speaks_for_the_router_or_for_prometheus(job: str) -> None:
    """Else one machine's page says that the fleet is ill, or well."""
    others = router_metrics().keys() | RECORDED | {*SPOKEN_OF}
    theirs = {name for name in READ if name.startswith(("prometheus_", "alertmanager_"))}
    found = taken(job, others | theirs)

    assert theirs
    assert {name for name in found if not name.startswith(EVERYBODYS)} == set()


def test_an_exporter_of_ours_says_all_that_it_has() -> None:
    names = exporter_metrics().keys()

    assert taken("dpl-exporter", names) == names


@pytest.mark.parametrize("job", [name for name in STRANGERS if name != "dpl-exporter"])
def test_a_program_of_others_says_what_the_rules_read_of_it_and_nothing_of_ours(job: str) -> None:
    ours = ("dpl_", "prometheus_", "alertmanager_", "gen_ai_")
    foreign = {name for name in READ - RECORDED - {*SPOKEN_OF} if not name.startswith(ours)}

    assert {"vllm:num_requests_running", "node_cpu_seconds_total"} <= foreign
    assert taken(job, foreign) == foreign
    assert taken(job, (name for name in exporter_metrics() if name.startswith("dpl_"))) == set()
