"""A wrong rule is noticed. All mutants: `python -m tests.mutants`, two minutes on two cores."""

from random import Random

import pytest

from tests.mutants.__main__ import main
from tests.mutants.hunt import Hunt
from tests.mutants.rules import Mutant

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


def test_a_name_that_no_rule_has_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["DplNodeDown", "DplTypo"]) == 2
    assert capsys.readouterr().err == "no alert DplTypo\n"
