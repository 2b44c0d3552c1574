"""One bounded queue per model: first in, first out, and nobody waits for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.dispatch.refusals import refused
from dpl_router.scheduling.live import Core
from dpl_router.scheduling.queueing import STRANGERS
from dpl_router.scheduling.types import Action, Demand, NodeConfig, Rejection
from tests.router.scheduling.values import (
    DONE,
    a_core,
    a_demand,
    a_node,
    ask,
    fill,
    send,
    unhurried,
)


def full() -> Core:
    """One node, both places taken."""
    core = a_core(a_node("a"))
    fill(core, "a")
    return core


def hold(core: Core, *names: str, model: str = "m", node: str = "a") -> list[Demand]:
    held = [a_demand(name, model) for name in names]
    for demand in held:
        core.on_hold(demand, node, 0.0)
    return held


def test_a_request_waits_with_us_when_the_node_is_full() -> None:
    decision = ask(full(), a_demand())

    assert (decision.action, decision.node, decision.model) == (Action.HOLD, "a", "m")


def test_a_freed_place_goes_to_the_head() -> None:
    core = full()
    first, second = hold(core, "first", "second")
    core.on_finish("a0", DONE, 0.0)

    assert core.head("m") == "first"
    assert ask(core, second).action is Action.HOLD
    assert ask(core, first).action is Action.DISPATCH


def test_the_next_one_becomes_the_head_when_the_head_is_sent() -> None:
    core = full()
    first, second = hold(core, "first", "second")
    core.on_finish("a0", DONE, 0.0)
    core.on_dispatch("x", first, "a", 0.0)

    assert core.head("m") == "second"
    assert ask(core, second).action is Action.HOLD


def test_a_newcomer_does_not_overtake_though_a_place_is_free() -> None:
    core = full()
    hold(core, "first")
    core.on_finish("a0", DONE, 0.0)

    assert ask(core, a_demand("new")).action is Action.HOLD


def test_of_two_models_on_one_node_the_longest_wait_gets_the_place() -> None:
    core = a_core(a_node("a", "m", "n"))
    fill(core, "a")
    (first,) = hold(core, "first", model="m")
    (second,) = hold(core, "second", model="n")
    core.on_finish("a0", DONE, 0.0)

    assert (core.head("m"), core.head("n")) == ("first", "second")
    assert ask(core, second).action is Action.HOLD
    assert ask(core, first).action is Action.DISPATCH


def test_a_held_request_that_waits_for_another_node_now_keeps_its_place() -> None:
    core = a_core(a_node("a"), a_node("b"))
    first, _ = hold(core, "first", "second")
    core.on_hold(first, "b", 1.0)

    assert core.head("m") == "first"
    assert core.snapshot(None, 0.0).claims == (("first", "b"), ("second", "a"))


def test_who_gives_up_leaves_the_queue() -> None:
    core = full()
    hold(core, "first", "second")
    core.on_unhold("first", 0.0)
    core.on_unhold("first", 0.0)
    core.on_unhold("never held", 0.0)

    assert core.head("m") == "second"


def test_the_queue_holds_two_for_each_place_and_refuses_more_with_a_time() -> None:
    core = full()
    held = hold(core, "1", "2", "3", "4")

    refused = ask(core, a_demand("5"))

    assert core.queues() == {"m": (4, 4)}
    assert (refused.action, refused.rejection) == (Action.REJECT, Rejection.FULL)
    assert refused.retry_after is not None
    assert 1.0 <= refused.retry_after <= 60.0
    assert [row.rejection for row in refused.rows] == [Rejection.FULL]
    assert ask(core, held[3]).action is Action.HOLD


def test_a_full_queue_is_told_as_one_although_a_node_has_a_place_free() -> None:
    core = a_core(a_node("a"), a_node("b"))
    hold(core, *"12345678")

    decision = ask(core, a_demand("9"))

    assert "queue is full" in refused("m", decision, lambda _: ()).message


def test_the_limit_counts_the_places_of_all_nodes_that_serve_the_model() -> None:
    core = a_core(a_node("a"), a_node("b", slots=5), a_node("c", "other"))

    assert core.queues() == {"m": (0, 14), "other": (0, 4)}


def test_the_cap_of_nodes_yaml_bounds_the_queue_too() -> None:
    core = a_core(a_node("a", slots=8))
    core.on_reload([NodeConfig("a", slots=1)], 0.0)

    assert core.queues() == {"m": (0, 2)}


def test_a_deadline_that_passed_in_the_queue_is_a_refusal() -> None:
    core = full()
    late = a_demand("late", deadline=5.0)
    core.on_hold(late, "a", 0.0)

    assert ask(core, late, 4.9).action is Action.HOLD
    assert ask(core, late, 5.0).rejection is Rejection.DEADLINE


def test_requests_for_a_model_that_nobody_lists_queue_too() -> None:
    core = a_core(a_node("a", models={}, inventory_known=False))
    fill(core, "a")
    hold(core, "first", model="new")

    assert core.head("new") == "first"
    assert core.queues() == {STRANGERS: (1, 4)}
    assert ask(core, a_demand("second", "new")).action is Action.HOLD
    assert core.snapshot(None, 0.0).strangers.queue == ("first",)


def test_requests_for_any_model_have_a_queue_of_their_own() -> None:
    core = full()
    hold(core, "first", model="")

    assert core.head("") == "first"
    assert core.queues() == {"m": (0, 4), "": (1, 4)}


def test_a_snapshot_shows_the_queue_as_it_is_then() -> None:
    core = full()
    before = core.snapshot(None, 0.0)
    hold(core, "first")
    during = core.snapshot(None, 0.0)
    core.on_unhold("first", 0.0)

    assert [shot.views["m"].queue for shot in (before, during)] == [(), ("first",)]
    assert core.snapshot(None, 0.0) == before


def test_an_empty_queue_has_no_head() -> None:
    assert full().head("m") is None


@pytest.mark.parametrize("slots", [1, 3])
@unhurried
@given(arrivals=st.lists(st.booleans(), max_size=40))
def test_requests_start_in_the_order_in_which_they_came_and_all_start(
    slots: int, arrivals: list[bool]
) -> None:
    """True = one arrives, False = the oldest running one ends; at last all end."""
    core = a_core(a_node("a", slots=slots), a_node("b", slots=1))
    waiting: list[Demand] = []
    running: list[str] = []
    started: list[int] = []
    refused: list[int] = []

    def settle(demand: Demand) -> bool:
        """As dispatch does it. False = it waits."""
        decision = ask(core, demand)
        if decision.action is Action.DISPATCH:
            core.on_dispatch(demand.id, demand, decision.node or "", 0.0)
            running.append(demand.id)
            started.append(int(demand.id))
        elif decision.action is Action.HOLD:
            core.on_hold(demand, decision.node or "", 0.0)
            return False
        else:
            refused.append(int(demand.id))
        return True

    def end() -> None:
        core.on_finish(running.pop(0), DONE, 0.0)
        while waiting and settle(waiting[0]):
            waiting.pop(0)

    for number, arrives in enumerate(arrivals):
        if arrives and not settle(demand := a_demand(str(number))):
            waiting.append(demand)
        elif not arrives and running:
            end()
    while running:
        end()

    assert started == sorted(started)
    assert not waiting
    assert len(started) + len(refused) == sum(arrivals)


def test_a_retry_joins_the_queue_at_its_end() -> None:
    core = full()
    hold(core, "first")
    send(core, "r", "a")

    assert ask(core, a_demand("again", attempts=1)).action is Action.HOLD


def test_invented_names_share_one_queue_and_its_bound() -> None:
    """A client can invent any number of names; each would wait in a queue of its own."""
    core = a_core(a_node("a", models={}, inventory_known=False, slots=2))
    fill(core, "a")
    answers = []
    for number in range(20):
        demand = a_demand(f"d{number}", f"invented-{number}")
        answers.append(ask(core, demand))
        if answers[-1].action is Action.HOLD:
            core.on_hold(demand, "a", 0.0)

    held = [answer for answer in answers if answer.action is Action.HOLD]
    assert len(held) == 4
    assert {answer.rejection for answer in answers[4:]} == {Rejection.FULL}
    assert sum(depth for depth, _ in core.queues().values()) == 4
