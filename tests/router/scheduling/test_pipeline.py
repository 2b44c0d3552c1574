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
)
from tests.router.scheduling.values import (
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
