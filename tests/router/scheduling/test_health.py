"""Breakers and own checks, as tables and through the core."""

import pytest

from dpl_router.scheduling.live import Core
from dpl_router.scheduling.types import Action, Failure, Outcome, OutcomeKind, Reason, Rejection
from tests.router.scheduling.values import (
    ABANDONED,
    DONE,
    a_core,
    a_demand,
    a_node,
    ask,
    send,
)

LOCAL = (Failure.CONNECT, Failure.RESET, Failure.TIMEOUT)


def two() -> Core:
    return a_core(a_node("a"), a_node("b"))


def fail(core: Core, failure: Failure, times: int, now: float = 0.0, node: str = "a") -> None:
    for turn in range(times):
        send(core, f"{failure}{turn}", node, now)
        core.on_finish(f"{failure}{turn}", Outcome(OutcomeKind.ERROR, failure=failure), now)


def opened(core: Core, now: float = 0.0, times: int = 1) -> float:
    """Open the breaker of `a` so often in a row; when it lets the next try through."""
    fail(core, Failure.CONNECT, 2, now)
    until = now + 2.0
    for trip in range(1, times):
        fail(core, Failure.CONNECT, 1, until)
        until += min(60.0, 2.0 * 2**trip)
    return until


@pytest.mark.parametrize("failure", LOCAL)
def test_two_failures_on_the_way_open_the_breaker(failure: Failure) -> None:
    core = two()
    fail(core, failure, 1)

    assert core.circuits(0.0) == {"a": 0, "b": 0}

    fail(core, failure, 1)

    assert core.circuits(0.0) == {"a": 2, "b": 0}
    assert ask(core, a_demand()).node == "b"


@pytest.mark.parametrize("failure", [Failure.STATUS_5XX, Failure.CUT])
def test_five_bad_answers_in_a_row_open_the_breaker(failure: Failure) -> None:
    core = two()
    fail(core, failure, 4)

    assert core.circuits(0.0)["a"] == 0

    fail(core, failure, 1)

    assert core.circuits(0.0)["a"] == 2


def test_an_answer_that_ends_well_starts_the_count_anew() -> None:
    core = two()
    fail(core, Failure.STATUS_5XX, 4)
    fail(core, Failure.CONNECT, 1)
    send(core, "good", "a")
    core.on_finish("good", DONE, 0.0)
    fail(core, Failure.STATUS_5XX, 4)
    fail(core, Failure.CONNECT, 1)

    assert core.circuits(0.0)["a"] == 0


@pytest.mark.parametrize("failure", [Failure.REQUEST, Failure.BUSY, None])
def test_what_is_not_the_nodes_fault_counts_nothing(failure: Failure | None) -> None:
    core = two()
    for turn in range(20):
        send(core, f"x{turn}", "a")
        core.on_finish(f"x{turn}", Outcome(OutcomeKind.ERROR, failure=failure), 0.0)

    assert core.circuits(0.0)["a"] == 0


@pytest.mark.parametrize("kind", [OutcomeKind.ABANDON, OutcomeKind.CANCELLED, OutcomeKind.PREEMPT])
def test_clients_that_leave_count_nothing(kind: OutcomeKind) -> None:
    core = two()
    for turn in range(20):
        send(core, f"x{turn}", "a")
        core.on_finish(f"x{turn}", Outcome(kind), 0.0)

    assert core.circuits(0.0)["a"] == 0


@pytest.mark.parametrize(
    ("times", "open_for"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (30, 60)]
)
def test_a_breaker_opens_for_twice_as_long_each_time_up_to_a_minute(
    times: int, open_for: int
) -> None:
    core = two()
    until = opened(core, times=times)

    assert core.circuits(until - open_for)["a"] == 2
    assert core.circuits(until - 0.01)["a"] == 2
    assert core.circuits(until)["a"] == 1


def test_after_an_answer_that_ends_well_it_opens_for_two_seconds_again() -> None:
    core = two()
    until = opened(core, times=4)
    send(core, "good", "a", until)
    core.on_token("good", 1, until)
    core.on_finish("good", DONE, until)
    fail(core, Failure.RESET, 2, until)

    assert core.circuits(until + 1.9)["a"] == 2
    assert core.circuits(until + 2.0)["a"] == 1


def test_half_open_lets_one_request_through_until_its_first_token() -> None:
    core = two()
    until = opened(core)
    sick = a_demand(excluded=frozenset("b"))

    assert ask(core, sick, until).reason is Reason.ONLY

    send(core, "probe", "a", until)

    assert ask(core, sick, until).reason is Reason.PANIC
    assert core.circuits(until)["a"] == 1

    core.on_token("probe", 1, until)

    assert ask(core, sick, until).reason is Reason.ONLY
    assert core.circuits(until)["a"] == 0


def test_a_probe_whose_client_leaves_makes_room_for_the_next() -> None:
    core = two()
    until = opened(core)
    send(core, "probe", "a", until)
    core.on_finish("probe", ABANDONED, until)

    assert core.circuits(until)["a"] == 1
    assert ask(core, a_demand(excluded=frozenset("b")), until).reason is Reason.ONLY


def test_a_probe_that_fails_opens_it_again_at_once() -> None:
    core = two()
    until = opened(core)
    fail(core, Failure.STATUS_5XX, 1, until)

    assert core.circuits(until + 3.9)["a"] == 2


def test_an_answer_without_a_told_token_closes_it_as_well() -> None:
    core = two()
    until = opened(core)
    send(core, "whole", "a", until)
    core.on_finish("whole", DONE, until)

    assert core.circuits(until)["a"] == 0


def test_what_was_sent_before_it_opened_neither_closes_nor_lengthens_it() -> None:
    """Otherwise one crash with four requests open would count as three trips."""
    core = two()
    for turn in range(6):
        send(core, f"old{turn}", "a")
    for turn in range(4):
        core.on_finish(f"old{turn}", Outcome(OutcomeKind.ERROR, failure=Failure.RESET), 0.0)
    core.on_token("old4", 5, 1.0)
    core.on_finish("old4", DONE, 1.0)
    core.on_finish("old5", Outcome(OutcomeKind.TIMEOUT, failure=Failure.TIMEOUT), 2.5)

    assert core.circuits(1.9)["a"] == 2
    assert core.circuits(2.5)["a"] == 1


def test_a_last_resort_that_fails_while_open_does_not_lengthen_it() -> None:
    core = two()
    until = opened(core)
    fail(core, Failure.CONNECT, 5, 1.0)

    assert core.circuits(until)["a"] == 1


def test_the_last_node_that_serves_a_model_is_never_ejected() -> None:
    core = a_core(a_node("a"), a_node("b", "other"))
    fail(core, Failure.CONNECT, 50)

    assert core.circuits(0.0)["a"] == 0
    assert ask(core, a_demand()).reason is Reason.ONLY


def test_of_two_that_fail_one_stays() -> None:
    core = two()
    fail(core, Failure.CONNECT, 9, node="a")
    fail(core, Failure.CONNECT, 9, node="b")

    assert sorted(core.circuits(0.0).values()) == [0, 2]


@pytest.mark.parametrize("excuse", [{"cordoned": True}, {"exclusive": True}, {"up": False}])
def test_a_node_that_could_not_step_in_is_no_other_node(excuse: dict[str, bool]) -> None:
    core = a_core(a_node("a"), a_node("b", **excuse))
    fail(core, Failure.CONNECT, 9)

    assert core.circuits(0.0)["a"] == 0


def test_a_node_with_a_model_of_its_own_is_ejected_for_those_it_shares() -> None:
    """A request for its own model still goes there at once, as the last resort."""
    core = a_core(a_node("a", "m", "rare"), a_node("b"))
    fail(core, Failure.TIMEOUT, 2)

    assert ask(core, a_demand()).node == "b"
    rare = ask(core, a_demand(model="rare"))
    assert (rare.action, rare.node, rare.reason) == (Action.DISPATCH, "a", Reason.PANIC)


def test_a_node_of_unknown_inventory_is_ejected_where_another_node_is_well() -> None:
    core = a_core(a_node("a", models={}, inventory_known=False), a_node("b"))
    fail(core, Failure.CONNECT, 2)

    assert core.circuits(0.0)["a"] == 2


@pytest.mark.parametrize(
    ("checks", "circuit"),
    [
        ("x", 0),
        ("xx", 2),
        ("x.x", 0),
        ("xx.", 1),
        ("xx..", 0),
        ("xx.x", 1),
        ("xx.xx", 2),
        ("xxxxxx.", 1),
        ("....", 0),
    ],
)
def test_two_failed_checks_are_down_and_two_good_ones_close(checks: str, circuit: int) -> None:
    core = two()
    for check in checks:
        core.on_check("a", check == ".", 0.0)

    assert core.circuits(0.0)["a"] == circuit


def test_a_node_that_is_down_by_our_checks_gets_nothing() -> None:
    core = two()
    core.on_check("a", False, 0.0)
    core.on_check("a", False, 0.0)

    explained = core.explain(a_demand(), core.snapshot(a_demand(), 0.0), 0.0)

    assert {row.node: row.rejection for row in explained.rows} == {"a": Rejection.DOWN, "b": None}


def test_a_good_check_never_closes_what_requests_opened() -> None:
    """Servers answer 200 while their generation hangs."""
    core = two()
    opened(core)
    for _ in range(5):
        core.on_check("a", True, 0.0)

    assert core.circuits(1.9)["a"] == 2
    assert core.circuits(2.0)["a"] == 1


def test_the_trial_of_a_half_open_node_is_the_first_request_alone() -> None:
    """Panic may send more: what becomes of those does not end the trial."""
    core = two()
    now = opened(core)
    send(core, "trial", "a", now)
    send(core, "another", "a", now)
    core.on_finish("another", ABANDONED, now)

    assert ask(core, a_demand(excluded=frozenset("b")), now).reason is Reason.PANIC

    core.on_token("trial", 1, now)

    assert ask(core, a_demand(excluded=frozenset("b")), now).reason is Reason.ONLY


def test_half_open_after_a_check_is_closed_by_a_first_token() -> None:
    core = two()
    for ok in (False, False, True):
        core.on_check("a", ok, 0.0)
    send(core, "probe", "a")

    assert ask(core, a_demand(excluded=frozenset("b"))).reason is Reason.PANIC

    core.on_token("probe", 1, 0.0)

    assert core.circuits(0.0)["a"] == 0


def test_a_check_of_an_unknown_node_is_nothing() -> None:
    core = two()
    core.on_check("z", False, 0.0)

    assert core.circuits(0.0) == {"a": 0, "b": 0}


def test_a_5xx_that_says_when_to_come_back_is_heard() -> None:
    core = two()
    send(core, "x", "a")
    ended = Outcome(OutcomeKind.ERROR, failure=Failure.STATUS_5XX, retry_after=9.0)
    core.on_finish("x", ended, 0.0)

    assert ask(core, a_demand(), 8.9).node == "b"


@pytest.mark.parametrize(
    ("told", "seconds"), [(7.0, 7.0), (None, 1.0), (float("nan"), 1.0), (-3.0, 0.0), (9e9, 300.0)]
)
def test_a_busy_node_is_left_alone_as_long_as_it_says(told: float | None, seconds: float) -> None:
    core = a_core(a_node("a"))
    send(core, "x", "a")
    core.on_finish("x", Outcome(OutcomeKind.ERROR, failure=Failure.BUSY, retry_after=told), 0.0)

    assert ask(core, a_demand(), seconds).action is Action.DISPATCH
    if seconds:
        refused = ask(core, a_demand(), seconds - 0.01)
        assert (refused.action, refused.rejection) == (Action.REJECT, Rejection.FULL)
