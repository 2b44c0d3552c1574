"""Learned speeds stay sane whatever an engine reports."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.scheduling.speed import FASTEST, SLOWEST, Output, Rate, measured, prior
from tests.router.scheduling.values import unhurried

anything = st.none() | st.floats() | st.integers(-(10**400), 10**400)


@pytest.mark.parametrize(
    ("kind", "prefill", "decode"), [("gpu", 2500, 70), ("mac", 300, 30), ("cpu", 60, 8)]
)
def test_before_anything_is_known_a_speed_is_its_kinds(
    kind: str, prefill: float, decode: float
) -> None:
    assert prior(kind)[:2] == (prefill, decode)
    assert Rate().value(None, prefill, 0.0) == prefill


def test_an_unknown_kind_is_taken_for_the_slowest() -> None:
    assert prior("toaster") == prior("cpu")


def test_a_recorded_past_speed_is_better_than_the_kinds() -> None:
    assert Rate().value(900.0, 60.0, 0.0) == 900.0


@pytest.mark.parametrize("recorded", [nan, 0.0, -5.0])
def test_a_recorded_speed_that_is_none_is_not_used(recorded: float) -> None:
    assert Rate().value(recorded, 60.0, 0.0) == 60.0


def test_what_the_engine_measured_soon_outweighs_the_prior() -> None:
    rate = Rate()
    for _ in range(3):
        rate.learn(1000, 1.0, 0.0)

    assert rate.value(None, 60.0, 0.0) == pytest.approx(1000, rel=0.1)


def test_a_node_that_turns_ten_times_slower_is_found_out_in_a_few_answers() -> None:
    rate = Rate()
    for _ in range(50):
        rate.learn(100, 1.0, 0.0)
    for _ in range(5):
        rate.learn(100, 10.0, 0.0)

    assert rate.value(None, 8.0, 0.0) < 50


def test_what_was_learned_fades_so_that_a_node_once_slow_is_tried_again() -> None:
    rate = Rate()
    rate.learn(100, 100.0, 0.0)

    assert rate.value(None, 70.0, 0.0) < 2
    assert rate.value(None, 70.0, 12_000.0) > 60
    assert rate.value(None, 70.0, -12_000.0) < 2


def test_a_speed_far_above_the_best_shown_is_a_cache_hit_and_not_learned() -> None:
    """Ollama counts cached tokens as evaluated: 451 tokens in 21 ms."""
    rate = Rate()
    rate.learn_uncached(451, 0.5, 0.0)
    before = rate.value(None, 60.0, 0.0)

    rate.learn_uncached(451, 0.021, 1.0)

    assert rate.value(None, 60.0, 0.0) == before


def test_a_node_that_shows_nothing_else_for_long_is_believed_to_be_faster() -> None:
    rate = Rate()
    rate.learn_uncached(451, 5.0, 0.0)

    rate.learn_uncached(451, 0.5, 700.0)

    assert rate.best > 900


@unhurried
@given(st.lists(st.tuples(anything, anything, st.floats(0, 1e6)), max_size=20), st.floats())
def test_a_speed_stays_in_range_for_any_timings(
    timings: list[tuple[float | None, float | None, float]], recorded: float
) -> None:
    rate = Rate()
    for tokens, seconds, now in timings:
        pair = measured(tokens, seconds)
        if pair is not None:
            rate.learn_uncached(*pair, now)

    assert SLOWEST <= rate.value(recorded, 60.0, 0.0) <= FASTEST


@pytest.mark.parametrize("tokens", [None, 0, -1, nan, inf, 10**400])
def test_no_speed_is_made_of_what_no_answer_can_be(tokens: float | None) -> None:
    assert measured(tokens, 1.0) is None
    assert measured(1.0, None if tokens is None else float(min(tokens, 1e300))) is None or tokens


@unhurried
@given(st.lists(st.integers(-(10**400), 10**400) | st.integers(0, 5000)))
def test_the_mean_answer_stays_positive_and_finite(lengths: list[int]) -> None:
    output = Output()
    for length in lengths:
        output.learn(length)

    assert 1 <= output.mean <= 1e7


def test_the_mean_answer_follows_what_is_seen() -> None:
    output = Output()
    for _ in range(200):
        output.learn(20)

    assert output.mean == pytest.approx(20, abs=5)
