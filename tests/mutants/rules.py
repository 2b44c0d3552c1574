"""The rules and their tests, cut down to what one alert or one recorded series needs."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.contract.promql import uses
from tests.mutants.changes import changes

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """`name` of the alert or the recorded series; `said` is the rule without its annotations.

    Each is itself alone: four rules of a burn rate share their name.
    """

    file: str
    name: str
    said: Document
    reads: frozenset[str]

    @property
    def is_alert(self) -> bool:
        return "alert" in self.said


@dataclass(frozen=True, slots=True)
class Mutant:
    rule: Rule
    what: str
    changed: Rule

    def __str__(self) -> str:
        return f"{self.rule.file}: {self.rule.name}: {self.what}"


def load_rules(folder: Path) -> list[Rule]:
    return [
        Rule(path.name, rule.get("alert") or rule["record"], bare(rule), read_by(rule["expr"]))
        for path in sorted(folder.glob("*.rules.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def load_tests(folder: Path) -> list[Document]:
    return [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*_test.yml"))
    ]


def bare(rule: Document) -> Document:
    """promtool compares annotations too, so every test would have to repeat every text."""
    return {key: value for key, value in rule.items() if key != "annotations"}


def read_by(promql: str) -> frozenset[str]:
    return frozenset(use.name for use in uses(promql) if use.name)


def mutants_of(rule: Rule) -> Iterator[Mutant]:
    """None of a rule that reads nothing: any number fires."""
    if not rule.reads:
        return
    for change in changes(rule.said["expr"]):
        said = {**rule.said, "expr": change.promql}
        yield Mutant(rule, change.what, replace(rule, said=said))
    if rule.said.get("for", "0s") != "0s":
        said = {key: value for key, value in rule.said.items() if key != "for"}
        yield Mutant(rule, "without `for`", replace(rule, said=said))


def needed(names: frozenset[str], rules: Sequence[Rule]) -> list[Rule]:
    """The recorded series of these names and what they are made of, in the order of the files."""
    recorded = [rule for rule in rules if not rule.is_alert]
    wanted = names
    while more := {name for one in recorded if one.name in wanted for name in one.reads} - wanted:
        wanted |= more
    return [rule for rule in recorded if rule.name in wanted]


def dependents(name: str, rules: Sequence[Rule]) -> frozenset[str]:
    """The recorded series in which `name` has a part, itself among them."""
    recorded = [rule for rule in rules if not rule.is_alert]
    found = frozenset({name})
    while more := {rule.name for rule in recorded if rule.reads & found} - found:
        found |= more
    return found


def tests_of_alert(rule: Rule, documents: Sequence[Document]) -> list[Document]:
    """Of the files in which it fires; without the alerts that others of its name raise."""
    labels = rule.said["labels"].items()
    found = []
    for document in cut(documents, "alert_rule_test", lambda case: case["alertname"] == rule.name):
        cases = [case for test in document["tests"] for case in test["alert_rule_test"]]
        for case in cases:
            case["exp_alerts"] = [
                alert for alert in case["exp_alerts"] if labels <= alert["exp_labels"].items()
            ]
        if any(case["exp_alerts"] for case in cases):
            found.append(document)
    return found


def tests_of_series(names: frozenset[str], documents: Sequence[Document]) -> list[Document]:
    return cut(documents, "promql_expr_test", lambda case: bool(read_by(case["expr"]) & names))


def cut(documents: Sequence[Document], kind: str, wanted: Any) -> list[Document]:
    """Documents with the cases of one kind that are wanted; without any others."""
    found: list[Document] = []
    for document in documents:
        tests = []
        for test in document["tests"]:
            cases = [case for case in test.get(kind, ()) if wanted(case)]
            if cases:
                kept = {"interval": test["interval"], "input_series": test["input_series"]}
                tests.append(copy.deepcopy({**kept, kind: cases}))
        if tests:
            interval = document["evaluation_interval"]
            found.append(
                {"rule_files": ["rules.yml"], "evaluation_interval": interval, "tests": tests}
            )
    return found
