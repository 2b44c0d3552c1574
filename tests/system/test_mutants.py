"""A wrong rule is noticed. All mutants: `python -m tests.mutants`, three minutes on two cores."""

import re
from collections import Counter
from random import Random

import pytest

from tests.mutants.__main__ import main
from tests.mutants.changes import changes
from tests.mutants.equal import EQUAL
from tests.mutants.hunt import Hunt
from tests.mutants.rules import Mutant, mutants_of

pytestmark = pytest.mark.system

SEED = 6


def sample(mutants: list[Mutant]) -> list[Mutant]:
    """One of each rule, since a rule whose tests are bad has many that live."""
    chance = Random(SEED)
    by_rule = dict[str, list[Mutant]]()
    for mutant in mutants:
        by_rule.setdefault(mutant.rule.name, []).append(mutant)
    return [chance.choice(of_one) for of_one in by_rule.values()]


def test_the_rules_tests_notice_a_wrong_rule() -> None:
    hunt = Hunt()

    assert [str(mutant) for mutant in hunt.survivors(sample(hunt.mutants()))] == []


def test_a_rule_that_nothing_tests_is_noticed() -> None:
    """Else the hunt itself could be blind."""
    hunt = Hunt()
    hunt.tests = []
    mutants = [mutant for mutant in hunt.mutants() if mutant.rule.name == "DplNodeDown"]

    assert hunt.survivors(mutants) == mutants


def test_what_is_called_the_same_still_is_a_mutant_of_one_rule() -> None:
    """Else an exception would outlive what it was made for."""
    rules = Hunt().rules
    known = Counter((one.rule.name, one.what) for rule in rules for one in mutants_of(rule))

    assert {key: known[key] for key in EQUAL} == dict.fromkeys(EQUAL, 1)


@pytest.mark.parametrize(
    ("promql", "wanted"),
    [
        ("max by (a, b) (x) > 2", {"min by (a, b) (x) > 2", "sum by (a, b) (x) > 2"}),
        ("sum by (a) (x) > 0", set()),
        ("max(up) == 0", {"min(up) == 0"}),
        ("min_over_time(x[5m])", {"max_over_time(x[5m])"}),
    ],
)
def test_an_aggregation_is_exchanged_where_that_is_another(promql: str, wanted: set[str]) -> None:
    """`sum` and `max` above 0 are one thing."""
    found = {one.promql for one in changes(promql) if re.match(r"\w+ -> \w{3}", one.what)}

    assert found == wanted


def test_each_label_of_a_by_is_dropped_once() -> None:
    found = {one.promql for one in changes("sum by (a, b) (x)") if "label" in one.what}

    assert found == {"sum by (b) (x)", "sum by (a) (x)"}


def test_a_name_that_no_rule_has_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["DplNodeDown", "DplTypo"]) == 2
    assert capsys.readouterr().err == "no alert DplTypo\n"
