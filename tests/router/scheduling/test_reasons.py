"""The decision by examples: who comes first, and the word that says why."""

import pytest

from dpl_router.scheduling.pipeline import decide, explain
from dpl_router.scheduling.types import (
    Action,
    Candidate,
    Demand,
    Reason,
    Rejection,
    Snapshot,
    View,
)
from tests.router.scheduling.values import (
    IDLE,
    a_demand,
    a_market,
)

Fleet = tuple[Candidate, ...]
COLD = IDLE._replace(load=5.0)


@pytest.mark.parametrize(
    "rows",
    [[IDLE] * 150, [COLD] * 150, [*[IDLE] * 99, COLD, COLD], [*[IDLE] * 3, *[COLD] * 148]],
    ids=["all warm", "all cold", "few cold", "few warm"],
)
def test_of_a_large_fleet_every_request_finds_a_node(rows: list[Candidate]) -> None:
    fleet = [row._replace(node=f"n{place}") for place, row in enumerate(rows)]
    warm = {row.node for row in fleet if row.load == 0.0} or {row.node for row in fleet}

    chosen = {decide(a_demand(f"d{turn}"), a_market(*fleet), 0.0).node for turn in range(20)}

    assert chosen <= warm


def test_of_a_large_fleet_the_only_free_node_is_found() -> None:
    full = [IDLE._replace(node=f"n{place}", in_flight=2, rest=400) for place in range(150)]

    decision = decide(a_demand(), a_market(*full[:99], IDLE, *full[100:]), 0.0)

    assert (decision.action, decision.node) == (Action.DISPATCH, "a")


def test_different_requests_look_at_different_parts_of_a_large_fleet() -> None:
    fleet = [IDLE._replace(node=f"n{place}") for place in range(150)]

    chosen = {decide(a_demand(f"d{turn}"), a_market(*fleet), 0.0).node for turn in range(50)}

    assert len(chosen) > 20


def test_equal_nodes_take_turns_by_the_requests_hash() -> None:
    twins = IDLE, IDLE._replace(node="b")

    chosen = [decide(a_demand(f"d{turn}"), a_market(*twins), 0.0).node for turn in range(12)]

    assert "".join(filter(None, chosen)) == "babbaaabbbaa"  # the same in every process


def test_a_newcomer_does_not_overtake_though_its_own_best_node_is_free() -> None:
    snapshot = a_market(IDLE, SLOW, queue=("first",), claims=(("first", "b"),))

    assert decide(a_demand("new"), snapshot, 0.0).action is Action.HOLD
    assert decide(a_demand("first"), snapshot, 0.0).action is Action.DISPATCH


def test_a_known_node_comes_before_an_unknown_cheaper_one() -> None:
    unknown = IDLE._replace(node="b", known=False, prefill=9000.0)

    assert decide(a_demand(), a_market(IDLE, unknown), 0.0).node == "a"


def test_an_unknown_node_that_can_start_beats_a_long_wait_at_a_known_one() -> None:
    """Nodes without an exporter serve too, not only when all others are broken."""
    full = IDLE._replace(in_flight=2, rest=400)
    unknown = IDLE._replace(node="b", known=False)

    decision = decide(a_demand(), a_market(full, unknown), 0.0)

    assert (decision.action, decision.node) == (Action.DISPATCH, "b")


def test_a_full_node_that_others_use_gets_the_request_into_its_own_queue() -> None:
    """Held back here, others would take the place."""
    shared = IDLE._replace(others=2.0, others_mean=2.0)

    assert decide(a_demand(), a_market(shared), 0.0).action is Action.DISPATCH


SLOW = IDLE._replace(node="b", prefill=100.0, decode=5.0)


@pytest.mark.parametrize(
    ("fleet", "attempts", "reason"),
    [
        ((IDLE,), 0, Reason.ONLY),
        ((IDLE, IDLE._replace(node="b", barred=Rejection.CORDONED)), 0, Reason.ONLY),
        ((IDLE, SLOW), 0, Reason.CHEAPEST),
        ((IDLE, SLOW), 1, Reason.RETRY),
        ((IDLE._replace(prefill=900.0), IDLE._replace(node="b", load=5.0)), 0, Reason.WARM),
        ((IDLE, SLOW._replace(load=5.0)), 0, Reason.CHEAPEST),
        ((IDLE._replace(load=5.0), SLOW._replace(load=500.0)), 0, Reason.CHEAPEST),
        ((IDLE._replace(down=True), SLOW._replace(trying=True)), 1, Reason.PANIC),
    ],
)
def test_the_reason_says_why_this_node(fleet: Fleet, attempts: int, reason: Reason) -> None:
    decision = decide(a_demand(attempts=attempts), a_market(*fleet), 0.0)

    assert (decision.node, decision.model, decision.reason) == ("a", "m", reason)


CORDONED = SLOW._replace(barred=Rejection.CORDONED)


@pytest.mark.parametrize(
    ("fleet", "demand", "word"),
    [
        ((), a_demand(), Rejection.UNKNOWN_MODEL),
        ((), a_demand(model=""), Rejection.NO_MODEL),
        ((IDLE,), a_demand(deadline=0.0), Rejection.DEADLINE),
        ((IDLE,), a_demand(excluded=frozenset("a")), Rejection.EXCLUDED),
        ((IDLE,), a_demand(select={"room": "attic"}), Rejection.LABELS),
        ((IDLE._replace(barred=Rejection.CORDONED),), a_demand(), Rejection.CORDONED),
        ((IDLE._replace(barred=Rejection.IDENTITY),), a_demand(), Rejection.IDENTITY),
        ((IDLE._replace(exclusive_until=9.0),), a_demand(), Rejection.EXCLUSIVE),
        ((IDLE._replace(alone_until=9.0), CORDONED), a_demand(), Rejection.FULL),
        ((CORDONED,), a_demand(excluded=frozenset("a")), Rejection.CORDONED),
    ],
)
def test_a_rejection_names_the_most_telling_word(
    fleet: Fleet, demand: Demand, word: Rejection
) -> None:
    decision = decide(demand, a_market(*fleet, absent=("z",), model=demand.model), 0.0)

    assert (decision.action, decision.rejection) == (Action.REJECT, word)


def test_a_rejection_lists_every_nodes_own_word() -> None:
    fleet = (IDLE._replace(barred=Rejection.CORDONED), SLOW._replace(exclusive_until=9.0))

    decision = decide(a_demand(), a_market(*fleet, absent=("z",)), 0.0)

    assert {row.node: row.rejection for row in decision.rows} == {
        "a": Rejection.CORDONED,
        "b": Rejection.EXCLUSIVE,
        "z": Rejection.NO_MODEL,
    }


def test_a_node_that_said_429_tells_the_client_when_to_come_back() -> None:
    """Also the request that heard it: dispatch has excluded the node by then."""
    fleet = (IDLE._replace(alone_until=7.0), SLOW._replace(alone_until=30.0))

    decision = decide(a_demand(excluded=frozenset("a")), a_market(*fleet), 0.0)

    assert (decision.rejection, decision.retry_after) == (Rejection.FULL, 7.0)


def test_a_deadline_is_told_before_anything_is_looked_at() -> None:
    decision = decide(a_demand(deadline=1.0), a_market(IDLE), 1.0)

    assert (decision.rejection, decision.rows) == (Rejection.DEADLINE, ())


MAYBE = IDLE._replace(model="")
"""A node of which nobody knows what it serves."""


def unlisted(*rows: Candidate, absent: tuple[str, ...] = ("z",)) -> Snapshot:
    return Snapshot({}, View(rows, absent, False, (), 4, 200.0), (), 0)


def test_a_model_that_nobody_lists_is_tried_where_nobody_knows_the_inventory() -> None:
    decision = explain(a_demand(model="new"), unlisted(MAYBE), 0.0)

    assert (decision.action, decision.node, decision.model) == (Action.DISPATCH, "a", "new")
    assert decision.rows[0].model == "new"


@pytest.mark.parametrize(
    "row",
    [
        MAYBE._replace(down=True),
        MAYBE._replace(open_until=9.0),
        MAYBE._replace(barred=Rejection.CORDONED),
    ],
)
def test_a_mistyped_model_is_unknown_though_some_node_is_down(row: Candidate) -> None:
    """One machine that is off must not turn every 404 into a wait."""
    decision = decide(a_demand(model="tpyo"), unlisted(row), 0.0)

    assert (decision.action, decision.rejection) == (Action.REJECT, Rejection.UNKNOWN_MODEL)


def test_a_busy_node_that_may_have_the_model_is_worth_another_try() -> None:
    decision = decide(a_demand(model="new"), unlisted(MAYBE._replace(alone_until=3.0)), 0.0)

    assert (decision.rejection, decision.retry_after) == (Rejection.FULL, 3.0)


def test_while_nothing_is_known_of_anybody_even_doubted_nodes_are_tried() -> None:
    """At the router's start."""
    decision = decide(a_demand(), unlisted(MAYBE._replace(down=True), absent=()), 0.0)

    assert (decision.node, decision.reason) == ("a", Reason.PANIC)


def test_at_most_32_rows_are_kept() -> None:
    fleet = [IDLE._replace(node=f"n{place}") for place in range(50)]

    assert len(explain(a_demand(), a_market(*fleet), 0.0).rows) == 32
