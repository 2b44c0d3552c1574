"""The exact count, and what it says of others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.scheduling.book import HISTORY, Attempt, Others, Tally
from tests.router.scheduling.values import unhurried


def an_attempt(expected: int = 100) -> Attempt:
    return Attempt("a", "m", prompt=50, expected=expected, epoch=0, crowd=1.0)


def test_a_prompt_is_pending_until_its_first_token() -> None:
    tally, attempt = Tally(), an_attempt()
    tally.add(attempt, 0.0)

    assert (tally.count, tally.pending, tally.rest) == (1, 50, 100)

    tally.heard(attempt, 1)

    assert (tally.pending, tally.rest) == (0, 99)


def test_an_answer_longer_than_expected_is_taken_to_go_on_a_while() -> None:
    tally, attempt = Tally(), an_attempt()
    tally.add(attempt, 0.0)
    tally.heard(attempt, 5000)

    assert tally.rest == 25


def test_an_older_total_changes_nothing() -> None:
    tally, attempt = Tally(), an_attempt()
    tally.add(attempt, 0.0)
    tally.heard(attempt, 40)
    tally.heard(attempt, 30)

    assert tally.rest == 60


@unhurried
@given(st.lists(st.tuples(st.integers(1, 400), st.lists(st.integers(1, 900))), max_size=20))
def test_sums_come_back_to_zero(answers: list[tuple[int, list[int]]]) -> None:
    tally = Tally()
    attempts = [(an_attempt(expected), totals) for expected, totals in answers]
    for attempt, _ in attempts:
        tally.add(attempt, 0.0)
    for attempt, totals in attempts:
        for total in totals:
            tally.heard(attempt, total)
        tally.remove(attempt, 1.0)

    assert (tally.count, tally.pending, tally.rest) == (0, 0, 0)


def test_the_count_of_an_earlier_moment_is_remembered() -> None:
    tally = Tally()
    for second in range(1, 6):
        tally.add(an_attempt(), float(second))

    assert [tally.at(moment) for moment in (0.5, 1.0, 3.7, 99.0)] == [0, 1, 3, 5]


def test_a_burst_takes_one_entry_of_the_history() -> None:
    tally = Tally()
    for turn in range(3 * HISTORY):
        tally.add(an_attempt(), 10.0 + turn / 1e6)

    assert (tally.at(9.0), tally.at(10.0)) == (0, 3 * HISTORY)


def test_before_the_history_begins_its_oldest_count_is_told() -> None:
    tally = Tally()
    for second in range(2 * HISTORY):
        tally.add(an_attempt(), float(second))

    assert tally.at(0.0) == HISTORY + 1


def test_others_are_what_is_there_less_our_own() -> None:
    others = Others()
    others.sampled(5, own=2, at=0.0)

    assert others.now(0.0) == 3.0


def test_others_are_never_less_than_none() -> None:
    """Our own count runs ahead of the engine's."""
    others = Others()
    others.sampled(1, own=4, at=0.0)

    assert others.now(0.0) == 0.0


def test_others_fade_in_seconds_and_one_sample_counts_once() -> None:
    others = Others()
    others.sampled(3, own=0, at=0.0)
    others.sampled(3, own=0, at=0.0)

    assert others.now(20.0) < 0.05


def test_users_who_stay_are_remembered_between_samples() -> None:
    others = Others()
    for second in range(0, 600, 5):
        others.sampled(2, own=0, at=float(second))

    assert others.now(800.0) == pytest.approx(2.0, abs=0.1)


def test_a_lease_answer_above_our_view_corrects_it() -> None:
    others = Others()

    assert others.leased(0, now=0.0)
    assert not others.leased(2, now=0.0)
    assert others.leased(2, now=0.0)
    assert others.now(0.0) == 2.0


def test_an_older_sample_does_not_undo_a_lease_answer() -> None:
    others = Others()
    others.leased(2, now=10.0)
    others.sampled(0, own=0, at=5.0)

    assert others.now(10.0) == 2.0


def test_a_sample_older_than_the_last_says_nothing() -> None:
    others = Others()
    others.sampled(2, own=0, at=10.0)
    others.sampled(9, own=0, at=5.0)

    assert (others.now(10.0), others.mean) == (2.0, 0.0)
