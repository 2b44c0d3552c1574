"""How often a failed attempt may be tried elsewhere."""

import pytest

from dpl_router.scheduling.retry import RetryBudget
from dpl_router.scheduling.types import Failure
from tests.router.scheduling.values import a_demand

RETRY = a_demand(attempts=1)


def spent(retries: int, now: float = 0.0) -> RetryBudget:
    budget = RetryBudget()
    for _ in range(retries):
        budget.sent(RETRY, now)
    return budget


def test_a_request_is_tried_three_times_in_all() -> None:
    budget = RetryBudget()

    tries = [budget.allows(a_demand(attempts=sent), Failure.CONNECT, 0.0) for sent in range(4)]

    assert tries == [True, True, False, False]


@pytest.mark.parametrize("failure", list(Failure))
def test_only_what_may_go_well_elsewhere_is_tried_again(failure: Failure) -> None:
    final = {Failure.REQUEST, Failure.CUT}

    assert RetryBudget().allows(a_demand(), failure, 0.0) is (failure not in final)


def test_a_fleet_that_fails_is_not_sent_many_times_its_load() -> None:
    budget = spent(100)

    assert not budget.allows(a_demand(), Failure.CONNECT, 0.0)


def test_ten_a_second_come_back() -> None:
    budget = spent(100)

    assert budget.left(0.5) == pytest.approx(5)
    assert budget.left(1e9) == 100


def test_each_fifth_request_earns_one() -> None:
    budget = spent(100)
    for _ in range(10):
        budget.sent(a_demand(), 0.0)

    assert budget.left(0.0) == pytest.approx(2)


def test_a_clock_that_jumps_back_earns_nothing() -> None:
    assert spent(100, now=50.0).left(0.0) == 0


def test_more_retries_than_allowed_leave_no_debt() -> None:
    assert spent(500).left(0.1) == pytest.approx(1)
