"""Each alert has a page that says what it means and what to do, in words that still hold."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.emitted import exporter_metrics, router_metrics
from tests.contract.promql import uses
from tests.contract.runbooks import Runbook, read_runbooks
from tests.contract.test_names import NOT_HERE

RULES = Path(__file__).parents[2] / "prometheus" / "rules"
HEADINGS = ["What it means", "How to look", "What to do", "How to silence"]
LONGEST = 60
OTHERS = re.compile(r"up|ALERTS|scrape_\w+|process_\w+|prometheus_\w+|alertmanager_\w+")
"""Prometheus and Alertmanager on themselves."""
runbooks = pytest.mark.parametrize("book", read_runbooks(), ids=lambda book: book.alert)


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


ALERTS: Mapping[str, dict[str, Any]] = {rule["alert"]: rule for rule in rules() if "alert" in rule}


@pytest.fixture(scope="module")
def known() -> set[str]:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    return exporter_metrics().keys() | router_metrics().keys() | recorded | NOT_HERE.keys()


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {book.alert for book in read_runbooks()} == ALERTS.keys()


@runbooks
def test_a_runbook_is_one_page_in_four_parts(book: Runbook) -> None:
    assert book.text.startswith(f"# {book.alert}\n")
    assert book.headings == HEADINGS
    assert len(book.text.splitlines()) <= LONGEST
    assert book.commands


@runbooks
def test_who_lacks_its_tools_reads_where_they_are(book: Runbook) -> None:
    tools = {line.split()[0] for line in book.commands} & {"promtool", "amtool"}

    assert bool(tools) == ("`.parts/usr/bin`" in book.text)


@runbooks
def test_whose_alert_takes_a_node_out_says_what_a_silence_does_not_do(book: Runbook) -> None:
    acts = "action" in ALERTS[book.alert]["labels"]

    assert acts == ("\nA silence mends nothing: " in book.text)


@runbooks
def test_its_silence_is_for_this_alert_alone(book: Runbook) -> None:
    silences = [line for line in book.commands if " silence add " in line]
    labels = ALERTS[book.alert]["annotations"]["summary"]

    if book.alert == "DplWatchdog":  # it would hide that alerts reach nobody
        assert silences == []
        return
    assert [f"silence add alertname={book.alert} " in line for line in silences] == [True]
    assert ("node=NODE" in silences[0]) == ("$labels.node " in labels)
    assert ("model=MODEL" in silences[0]) <= ("$labels.model " in labels)


@runbooks
def test_what_it_asks_of_prometheus_is_there_to_be_asked(book: Runbook, known: set[str]) -> None:
    names = {use.name for promql in book.queries for use in uses(promql) if use.name}

    assert {name for name in names if name not in known and not OTHERS.fullmatch(name)} == set()


@runbooks
def test_the_alerts_that_it_names_exist(book: Runbook) -> None:
    assert set(re.findall(r"\bDpl[A-Z]\w+", book.text)) <= ALERTS.keys()


def test_every_verb_of_ours_exists() -> None:
    verbs = {verb for book in read_runbooks() for verb in book.verbs}
    found = {
        verb: subprocess.run(
            [sys.executable, "-m", "dpl_router", *verb, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for verb in sorted(verbs)
    }

    assert ("cordon",) in verbs
    assert {verb: run.stderr for verb, run in found.items() if run.returncode != 0} == {}
