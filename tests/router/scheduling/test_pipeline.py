"""The decision as a pure function: the properties of scheduling.md section 4, and its reasons."""

import pickle
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dpl_router.scheduling.filters import BELIEFS, rejection
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
    demands,
    fleets,
    unhurried,
)

Fleet = tuple[Candidate, ...]

WORSENINGS: list[Callable[[Candidate, float], Candidate]] = [
    lambda row, by: row._replace(prefill=row.prefill / (1 + by)),
    lambda row, by: row._replace(decode=row.decode / (1 + by)),
    lambda row, by: row._replace(in_flight=row.in_flight + 1, rest=row.rest + int(by)),
    lambda row, by: row._replace(pending=row.pending + int(by)),
    lambda row, by: row._replace(others=row.others + by, others_mean=row.others_mean + by),
    lambda row, by: row._replace(load=row.load + by),
    lambda row, by: row._replace(load_from=max(row.load_from, 0.0) + by),
    lambda row, by: row._replace(crowding=row.crowding + by),
    lambda row, by: row._replace(evicts=True),
    lambda row, by: row._replace(known=False),
    lambda row, by: row._replace(down=True),
    lambda row, by: row._replace(trying=True),
    lambda row, by: row._replace(open_until=by),
    lambda row, by: row._replace(alone_until=by),
    lambda row, by: row._replace(exclusive_until=by),
    lambda row, by: row._replace(barred=Rejection.CORDONED),
]


def served(fleet: Fleet, demand: Demand) -> list[str]:
    """Nodes that no filter keeps from the demand."""
    return [row.node for row in fleet if rejection(row, demand, 0.0) is None]


@unhurried
@given(
    fleets(least=2),
    demands(),
    st.data(),
    st.sampled_from(WORSENINGS),
    st.floats(0.0, 50.0, exclude_min=True),
)
def test_a_node_that_only_got_worse_is_not_newly_chosen(
    fleet: Fleet,
    demand: Demand,
    data: st.DataObject,
    worsened: Callable[[Candidate, float], Candidate],
    by: float,
) -> None:
    """Otherwise one bad reading could draw traffic to the node that is failing."""
    chosen = decide(demand, a_market(*fleet), 0.0).node
    losers = [place for place, row in enumerate(fleet) if row.node != chosen]
    assume(losers)
    place = data.draw(st.sampled_from(losers))
    worse = worsened(fleet[place], by)

    again = decide(demand, a_market(*fleet[:place], worse, *fleet[place + 1 :]), 0.0)

    assert again.node != worse.node


@unhurried
@given(fleets(), demands())
def test_who_is_filtered_is_never_chosen_while_another_can_serve(
    fleet: Fleet, demand: Demand
) -> None:
    able = served(fleet, demand)
    assume(able)

    assert decide(demand, a_market(*fleet), 0.0).node in able


@unhurried
@given(fleets(), demands())
def test_cordoned_foreign_and_excluded_nodes_are_never_chosen(fleet: Fleet, demand: Demand) -> None:
    """Panic forgives beliefs, not what people or the request itself have said."""
    chosen = decide(demand, a_market(*fleet), 0.0).node

    assert all(
        rejection(row, demand, 0.0) in {None, *BELIEFS} for row in fleet if row.node == chosen
    )


@unhurried
@given(fleets(healthy=True), fleets(), demands())
def test_where_only_beliefs_stand_against_the_fleet_there_is_an_answer(
    fleet: Fleet, barred: Fleet, demand: Demand
) -> None:
    doubted = {row.node: row._replace(down=True) for row in fleet}
    out = {row.node: row._replace(barred=Rejection.CORDONED) for row in barred}
    assume(doubted.keys() - demand.excluded)

    decision = decide(demand, a_market(*{**out, **doubted}.values()), 0.0)

    assert decision.reason is Reason.PANIC
    assert decision.node in doubted.keys() - demand.excluded


@unhurried
@given(fleets(), demands(), st.randoms(use_true_random=False))
def test_permuting_the_nodes_permutes_the_answer(
    fleet: Fleet, demand: Demand, random: Random
) -> None:
    shuffled = list(fleet)
    random.shuffle(shuffled)

    one, other = decide(demand, a_market(*fleet), 0.0), decide(demand, a_market(*shuffled), 0.0)

    assert (one.action, one.node, one.reason, one.rejection) == (
        other.action,
        other.node,
        other.reason,
        other.rejection,
    )


@unhurried
@given(fleets(), demands(), st.sampled_from([0.25, 0.5, 2.0, 64.0]))
def test_a_fleet_that_is_as_much_faster_everywhere_gives_the_same_choice(
    fleet: Fleet, demand: Demand, factor: float
) -> None:
    """With the model there: loads take the time they take."""
    warm = [row._replace(load=0.0, load_from=-1.0) for row in fleet]
    faster = [
        row._replace(prefill=row.prefill * factor, decode=row.decode * factor) for row in warm
    ]

    one, other = decide(demand, a_market(*warm), 0.0), decide(demand, a_market(*faster), 0.0)

    assert (one.action, one.node) == (other.action, other.node)


@unhurried
@given(fleets(), demands(), st.integers(-(10**6), 10**6))
def test_a_decision_depends_on_ages_not_on_the_clock(
    fleet: Fleet, demand: Demand, jump: int
) -> None:
    later = [
        row._replace(
            exclusive_until=row.exclusive_until + jump,
            alone_until=row.alone_until + jump,
            open_until=row.open_until + jump,
            load_from=row.load_from + jump,
            others_at=row.others_at + jump,
        )
        for row in fleet
    ]

    one, other = decide(demand, a_market(*fleet), 0.0), decide(demand, a_market(*later), jump)

    assert (one.action, one.node) == (other.action, other.node)


@unhurried
@given(fleets(), demands())
def test_an_unshared_node_is_never_sent_more_than_it_has_slots(
    fleet: Fleet, demand: Demand
) -> None:
    alone = {row.node: row._replace(others=0.0, others_mean=0.0) for row in fleet}

    decision = decide(demand, a_market(*alone.values()), 0.0)

    if decision.action is Action.DISPATCH and decision.node is not None:
        assert alone[decision.node].in_flight < alone[decision.node].slots


@unhurried
@given(fleets(healthy=True), demands())
def test_nothing_is_held_while_a_cheaper_start_exists(fleet: Fleet, demand: Demand) -> None:
    snapshot = a_market(*(row._replace(known=True) for row in fleet))
    decision = explain(demand, snapshot, 0.0)
    costs = {row.node: row.cost or 0.0 for row in decision.rows}

    if decision.action is Action.HOLD and decision.node is not None:
        assert not [
            row.node
            for row in decision.rows
            if row.rejection is None and row.short == 0 and costs[row.node] < costs[decision.node]
        ]


@unhurried
@given(fleets(), demands())
def test_a_replay_from_a_stored_snapshot_agrees_and_changes_nothing(
    fleet: Fleet, demand: Demand
) -> None:
    snapshot = a_market(*fleet)
    stored = pickle.dumps((demand, snapshot))

    first = explain(demand, snapshot, 0.0)
    demand_again, snapshot_again = pickle.loads(stored)
    again = explain(demand_again, snapshot_again, 0.0)

    assert first == again
    assert (demand, snapshot) == pickle.loads(stored)


@unhurried
@given(fleets(), demands())
def test_an_explanation_agrees_with_the_decision_and_its_terms_add_up(
    fleet: Fleet, demand: Demand
) -> None:
    snapshot = a_market(*fleet)

    decision, explained = decide(demand, snapshot, 0.0), explain(demand, snapshot, 0.0)

    assert (decision.action, decision.node, decision.reason) == (
        explained.action,
        explained.node,
        explained.reason,
    )
    assert {row.node for row in explained.rows} == {row.node for row in fleet}
    for row in explained.rows:
        if row.cost is not None:
            assert sum(row.terms.values()) == pytest.approx(row.cost)


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
