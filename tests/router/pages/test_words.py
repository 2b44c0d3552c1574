"""Numbers and states as people read them."""

import pytest

from dpl_router.pages.words import clock, gib, moment, plural, seconds_of, state_words, whole


@pytest.mark.parametrize(
    ("size", "said"),
    [(None, "–"), (0, "0.0"), (3 * 1024**3 + 200 * 1024**2, "3.2"), (128 * 1024**3, "128")],
)
def test_memory_is_said_in_binary_gigabytes(size: int | None, said: str) -> None:
    assert gib(size) == said


def test_what_is_not_known_is_a_dash_and_never_a_zero() -> None:
    assert (whole(None), whole(0.0), whole(12.6)) == ("–", "0", "13")


def test_one_is_not_many() -> None:
    assert (plural(1, "node"), plural(2, "node")) == ("1 node", "2 nodes")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("ready", ("Ready", "")),
        ("busy, 4 of 4 places taken", ("Busy", "4 of 4 places taken")),
        ("offline: http://x: no answer", ("Offline", "http://x: no answer")),
        ("", ("", "")),
    ],
)
def test_a_state_has_a_head_and_a_rest(reason: str, words: tuple[str, str]) -> None:
    assert state_words(reason) == words


def test_times_are_told_to_the_second_in_utc() -> None:
    assert moment(1767323045.6) == "2026-01-02T03:04:05Z"
    assert clock(1767323045.6) == "03:04:05 UTC"
    assert moment(None) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "9999-99-99T00:00:00Z",
        "<script>",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_time_is_no_time(text: str) -> None:
    assert seconds_of(text) is None
    assert (moment(seconds_of(text)), clock(seconds_of(text))) == ("", "–")


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"])
def test_a_time_that_is_read_can_be_told(text: str) -> None:
    """A year 10000 would break every page: a float may round up to it."""
    at = seconds_of(text)

    assert at is None or moment(at).startswith(text[:19])
    assert clock(at)


def test_alertmanagers_times_are_read() -> None:
    assert seconds_of("2026-01-02T03:04:05.678Z") == pytest.approx(1767323045.678)
