"""Each term of the price alone, in seconds, against numbers worked out by hand."""

from functools import reduce
from math import inf
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.scheduling import price
from dpl_router.scheduling.types import Candidate, Demand
from tests.router.scheduling.values import IDLE, a_demand, candidates, demands, unhurried

FULL = IDLE._replace(in_flight=2, rest=300)


@pytest.mark.parametrize(
    ("term", "row", "demand", "seconds"),
    [
        ("wait", IDLE, a_demand(), 0.0),
        ("wait", IDLE._replace(in_flight=1, rest=200), a_demand(), 0.0),
        # one place short; two streams with 150 tokens each left at 50 / 1.1 tokens a second
        ("wait", FULL, a_demand(), 150 * 1.1 / (2 * 50)),
        # others are taken to have a whole answer of 200 tokens left; two places short
        ("wait", FULL._replace(others=1.0, others_mean=1.0), a_demand(), 2 * 500 / 3 * 1.1 / 100),
        ("pending", FULL._replace(pending=3000), a_demand(), 3.0),
        ("load", IDLE, a_demand(), 0.0),
        ("load", IDLE._replace(load=6.0), a_demand(), 6.0),
        ("load", IDLE._replace(load_from=12.0), a_demand(), 2.0),
        ("load", IDLE._replace(load_from=12.0, load=6.0), a_demand(), 8.0),
        ("load", IDLE._replace(load_from=9.0), a_demand(), 0.0),
        ("evict", IDLE._replace(load=6.0), a_demand(), 0.0),
        ("evict", IDLE._replace(load=6.0, evicts=True), a_demand(), 6.0),
        ("own", IDLE, a_demand(prompt=500), 0.5),
        ("decode", IDLE, a_demand(), 4.0),
        ("decode", IDLE, a_demand(max_tokens=50), 1.0),
        ("decode", IDLE, a_demand(max_tokens=0), 1 / 50),
        ("decode", IDLE, a_demand(max_tokens=5000), 4.0),
        ("decode", FULL, a_demand(), 4.0 * 1.1),
    ],
)
def test_a_term_is_seconds(term: str, row: Candidate, demand: Demand, seconds: float) -> None:
    at = price.stand(row, 0, 200.0, 10.0)
    terms = {entry.name: entry for entry in price.TERMS}

    assert terms[term].seconds(row, demand, at) == pytest.approx(seconds)
    assert price.itemised(row, demand, at)[term] == pytest.approx(terms[term].weight * seconds)


@unhurried
@given(candidates(), demands(), st.integers(0, 3))
def test_the_price_is_the_sum_of_all_terms(row: Candidate, demand: Demand, claimed: int) -> None:
    """To the last bit, so that equal nodes stay equal: it is written out, for speed."""
    at = price.stand(row, claimed, 200.0, 0.0)

    cost, _, short = price.offer(row, demand, claimed, 200.0, 0.0)

    assert cost == reduce(add, price.itemised(row, demand, at).values())
    assert short == at.short


def test_waiting_counts_eight_times_ones_own_prompt_four() -> None:
    """Scheduling.md 2.2: the whole trick."""
    weights = {term.name: term.weight for term in price.TERMS}

    assert weights == {
        "wait": 8.0,
        "pending": 8.0,
        "load": 4.0,
        "evict": 5.0,
        "own": 4.0,
        "decode": 0.5,
    }


@pytest.mark.parametrize(
    ("in_flight", "claimed", "others", "short"),
    [
        (0, 0, 0.0, 0),
        (1, 0, 0.5, 0),
        (1, 0, 0.6, 1),
        (2, 0, 0.0, 1),
        (1, 1, 0.0, 1),
        (2, 3, 0.0, 4),
    ],
)
def test_held_requests_ahead_and_others_take_places(
    in_flight: int, claimed: int, others: float, short: int
) -> None:
    row = IDLE._replace(in_flight=in_flight, others=others, others_mean=others)

    assert price.stand(row, claimed, 200.0, 0.0).short == short


def test_what_was_seen_of_others_fades_to_its_long_mean() -> None:
    row = IDLE._replace(others=5.0, others_mean=1.0, others_at=0.0)

    assert price.others_now(row, 0.0) == 5.0
    assert price.others_now(row, 4.0) == pytest.approx(1 + 4 / 2.718, abs=0.01)
    assert price.others_now(row, 400.0) == pytest.approx(1.0)
    assert price.others_now(row, -50.0) == 5.0


def test_others_that_were_never_seen_are_none() -> None:
    assert price.others_now(IDLE._replace(others_mean=0.5, others_at=-inf), 0.0) == 0.5
