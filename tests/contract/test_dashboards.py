"""The dashboards keep their conventions, and each check finds what it is for."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from grafana.build import limits
from grafana.build.__main__ import BOARDS, rendered
from tests.contract.emitted import exporter_metrics, router_metrics
from tests.contract.promql import Use, uses
from tests.contract.test_names import ON_A_NODE, RECORDED, SCRAPE, told_by_others
from tests.dashboards import boards, checks
from tests.dashboards.boards import ROOT, VALUES
from tests.dashboards.findings import findings, table

PROVISIONING = ROOT / "grafana" / "provisioning"
PROMETHEUS: Mapping[str, frozenset[str]] = {
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "scope", *ON_A_NODE, "gpu"}),
    "ALERTS_FOR_STATE": frozenset({"alertname", "severity", "scope", *ON_A_NODE, "gpu"}),
}
"""What it writes itself, beside what the contract's test knows."""
JOBS: Mapping[str, str] = {
    r"DCGM_\w+": "dcgm",
    r"nvidia_smi_\w+": "gpu",
    r"node_\w+": "node",
    r"vllm:\w+": "vllm",
    r"prometheus_\w+": "prometheus",
    r"alertmanager_\w+": "alertmanager",
    r"dpl_(router|model)_\w+|process_\w+": "dpl-router",
    r"dpl_\w+": "dpl-exporter",
}
"""Pattern of a name -> who is scraped for it; the first counts."""
NOT_HERE: Mapping[str, frozenset[str]] = {"dpl_node_network_speed_bytes": ON_A_NODE | {"device"}}
"""What the exporter leaves out where a network card does not tell it (a container's)."""


@pytest.fixture(scope="module")
def emitted() -> Mapping[str, frozenset[str]]:
    """Name of a series -> its labels, recorded ones included."""
    exporter = {name: labels | ON_A_NODE for name, labels in exporter_metrics().items()}
    router = {name: labels | SCRAPE for name, labels in router_metrics().items()}
    recorded = {name: labels | {"cluster"} for name, labels in RECORDED.items()}
    return {**exporter, **router, **recorded, **PROMETHEUS, **NOT_HERE}


def test_the_committed_dashboards_are_what_the_code_makes_now() -> None:
    """Otherwise: make render."""
    assert boards.names() == sorted(BOARDS) == sorted(checks.NAMES)
    assert {name: boards.text(name) for name in BOARDS} == {name: rendered(name) for name in BOARDS}


def test_no_dashboard_breaks_a_convention() -> None:
    found = findings()
    wrong = [
        each for by_board in found.values() for mistakes in by_board.values() for each in mistakes
    ]

    assert wrong == [], "\n".join(table(found))


@pytest.mark.parametrize("name", BOARDS)
def test_every_series_of_a_panel_is_emitted_with_those_labels(
    name: str, emitted: Mapping[str, frozenset[str]]
) -> None:
    board = boards.read(name)
    asked = [query for query in boards.queries(board) if "metric" not in query.promql]
    wrong = {
        query.where: list(unknown(uses(query.filled(VALUES)), emitted))
        for query in [*asked, *(query for query, _ in boards.listed(board))]
    }

    assert {where: mistakes for where, mistakes in wrong.items() if mistakes} == {}


def unknown(found: list[Use], known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for use in found:
        if use.name is None:
            continue
        if use.name in known:
            lost = sorted(use.labels - known[use.name])
            yield from (f"{use.name} has no label {label}" for label in lost)
        elif not told_by_others(use.name):
            yield f"nobody emits {use.name}"


def test_a_name_or_a_label_that_nobody_emits_is_found(
    emitted: Mapping[str, frozenset[str]],
) -> None:
    wrong = uses('sum by (nobody) (dpl_llm_up) + dpl_llm_upp{cluster="a"}')

    assert list(unknown(wrong, emitted)) == [
        "dpl_llm_up has no label nobody",
        "nobody emits dpl_llm_upp",
    ]


def dashboard_urls() -> Iterator[tuple[str, str]]:
    for rule in limits.rules():
        if "alert" in rule:
            yield rule["alert"], rule["annotations"]["dashboard_url"]


def test_every_alert_leads_to_a_dashboard_that_has_its_variables() -> None:
    for alert, url in dashboard_urls():
        parts = urlsplit(url)
        uid = parts.path.removeprefix("/d/")
        chosen = {name.removeprefix("var-") for name in parse_qs(parts.query)}

        assert uid in checks.NAMES, alert
        assert chosen <= {each["name"] for each in boards.variables(boards.read(uid))}, alert


def test_limits_are_read_from_the_rules() -> None:
    busy = limits.limit("DplNodeCpuSaturated", "node:dpl_node_cpu_utilization:ratio_rate1m")

    assert busy == 0.95
    assert limits.budget("DplAvailabilitySloBurn") == 0.005
    assert limits.fastest("DplTtftSloBurn") == 14.4
    assert limits.bound("model:dpl_slo_ttft_errors:ratio_rate5m") == 2.0
    assert limits.weights("node:dpl_load:ratio") == [0.4, 0.3, 0.2, 0.1]
    with pytest.raises(limits.NoSuchLimit, match="DplNodeCpuSaturated compares dpl_llm_up with no"):
        limits.limit("DplNodeCpuSaturated", "dpl_llm_up")


def test_grafana_is_told_of_sources_and_folder() -> None:
    providers = yaml.safe_load((PROVISIONING / "dashboards" / "dpl.yml").read_text("utf-8"))
    prometheus, alertmanager = sources()
    [provider] = providers["providers"]
    [exemplar] = prometheus["jsonData"]["exemplarTraceIdDestinations"]

    assert prometheus["uid"] == "dpl-prometheus"
    assert prometheus["jsonData"]["httpMethod"] == "POST"
    assert exemplar["name"] == "request_id"
    assert exemplar["url"].endswith("/requests/$${__value.raw}")
    assert alertmanager["jsonData"]["implementation"] == "prometheus"
    assert f"alertmanager={alertmanager['name']}" in boards.text("dpl-alerts")
    assert (provider["folder"], provider["allowUiUpdates"]) == ("DPL", False)
    assert provider["options"]["foldersFromFilesStructure"] is False


def sources() -> tuple[dict[str, Any], dict[str, Any]]:
    """Prometheus, Alertmanager."""
    found = yaml.safe_load((PROVISIONING / "datasources" / "dpl.yml").read_text("utf-8"))
    prometheus, alertmanager = found["datasources"]
    return prometheus, alertmanager


def scraped_every() -> Mapping[str, float]:
    """Job -> seconds."""
    said = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text("utf-8"))
    usual = said["global"]["scrape_interval"]
    return {
        job["job_name"]: seconds(job.get("scrape_interval", usual))
        for job in said["scrape_configs"]
    }


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("name", BOARDS)
def test_no_job_of_a_rate_is_scraped_more_seldom_than_grafana_thinks(name: str) -> None:
    """$__rate_interval is four of those intervals: too short a one leaves holes in the line."""
    usual = sources()[0]["jsonData"]["timeInterval"]
    every = scraped_every()
    for query in boards.queries(boards.read(name)):
        thought = query.whole.get("interval") or usual
        for job in jobs_of(query):
            assert every[job] <= seconds(thought), (
                f"{query.where}: {job} is scraped every {every[job]:g} s, its query says {thought}:"
                f' Query(…, interval="{every[job]:g}s")'
            )


def jobs_of(query: boards.Query) -> Iterator[str]:
    """Whom the series of a rate come from."""
    if "$__rate_interval" not in query.promql or "metric" in query.promql:
        return
    for use in uses(query.filled(VALUES)):
        name = str(use.name)
        if ":dpl_" not in name:
            found = [job for pattern, job in JOBS.items() if re.fullmatch(pattern, name)]
            assert found, f"who is scraped for {name}? Name the job in JOBS here"
            yield found[0]


Change = Callable[[dict[str, Any]], object]


def panel(board: dict[str, Any], kind: str = "timeseries") -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in board["panels"] if each["type"] == kind)
    return found


def asking(promql: str) -> Change:
    return lambda board: panel(board)["targets"][0].update(expr=promql)


def override(board: dict[str, Any], unit: str) -> None:
    panel(board, "table")["fieldConfig"]["overrides"] = [
        {"matcher": {}, "properties": [{"id": "unit", "value": unit}]}
    ]


CHANGES: list[tuple[str, Change]] = [
    ("head", lambda board: board.update(editable=True)),
    ("head", lambda board: board.update(uid="dpl-other")),
    ("head", lambda board: board.update(schemaVersion=22)),
    ("head", lambda board: board.update(description="")),
    ("links", lambda board: board["links"][0].update(keepTime=False)),
    ("variables", lambda board: board["templating"]["list"].reverse()),
    ("variables", lambda board: board["templating"]["list"][1].update(allValue=None)),
    ("variables", lambda board: board["templating"]["list"][1].update(refresh=1)),
    ("variables", lambda board: board["templating"]["list"][0].update(label="")),
    ("grid", lambda board: panel(board)["gridPos"].update(x=20)),
    ("grid", lambda board: panel(board)["gridPos"].update(y=0, h=20)),
    ("grid", lambda board: panel(board).update(id=board["panels"][0]["id"])),
    ("words", lambda board: panel(board).update(description="")),
    ("words", lambda board: panel(board).update(title="")),
    ("words", lambda board: panel(board).update(title=panel(board, "stat")["title"])),
    ("kinds", lambda board: panel(board).update(type="graph")),
    ("kinds", lambda board: panel(board).update(targets=[])),
    ("kinds", lambda board: panel(board).update(repeat="nothing")),
    ("sources", lambda board: panel(board).update(datasource={"uid": "abc"})),
    ("sources", lambda board: panel(board)["targets"][0].update(datasource=None)),
    ("sources", lambda board: board["annotations"]["list"][0].update(datasource=None)),
    ("units", lambda board: panel(board)["fieldConfig"]["defaults"].update(unit="seconds")),
    (
        "units",
        lambda board: panel(board)["fieldConfig"]["defaults"].update(unit="percentunit", max=2),
    ),
    ("units", lambda board: override(board, "MB/s")),
    ("legends", lambda board: panel(board)["options"]["legend"].update(calcs=[])),
    ("legends", lambda board: panel(board)["targets"][0].pop("legendFormat")),
    ("legends", lambda board: panel(board)["targets"][0].update(legendFormat="{{nodes}}")),
    (
        "limits",
        lambda board: panel(board)["fieldConfig"]["defaults"]["thresholds"]["steps"].append(
            {"value": 0.947, "color": "red"}
        ),
    ),
    ("parse", asking("sum(rate(x[5m])")),
    ("clusters", asking("sum(dpl_llm_up)")),
    ("rates", asking('rate(dpl_x_total{cluster=~"$cluster"}[5m])')),
    ("rates", asking('rate(dpl_x_total{cluster=~"$cluster"}[$__range])')),
    ("rates", asking('increase(dpl_x_total{cluster=~"$cluster"}[1h])')),
    ("counters", asking('sum(dpl_x_total{cluster=~"$cluster"})')),
    ("counters", asking('max_over_time(dpl_x_total{cluster=~"$cluster"}[$__range])')),
    ("round_trip", lambda board: panel(board).update(mistyped=1)),
    ("round_trip", lambda board: panel(board)["options"].update(mistyped=1)),
    ("round_trip", lambda board: panel(board)["targets"][0].update(mistyped=1)),
    ("types", lambda board: panel(board)["options"]["legend"].update(displayMode="tabel")),
    ("types", lambda board: panel(board)["options"]["tooltip"].update(mode=3)),
    ("types", lambda board: panel(board)["fieldConfig"]["defaults"].update(unit=7)),
    ("types", lambda board: panel(board)["targets"][0].update(instant="no")),
    ("types", lambda board: board.update(refresh=True)),
]
CHECKS = {check.__name__: check for check in checks.CHECKS}


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_finds_what_it_is_for(check: str) -> None:
    changes = [change for name, change in CHANGES if name == check]

    assert changes
    for place, change in enumerate(changes):
        board = json.loads(boards.text("dpl-overview"))
        change(board)
        assert list(CHECKS[check](board)), f"change {place} of {check} is not noticed"
