"""Label values that come from outside, as Prometheus takes them."""

import pytest

from dpl_exporter.collectors.base import clean


@pytest.mark.parametrize(
    "text", ["模" * 100, "é" * 199, "m" * 500, "a" + "模" * 100, "🙂" * 60], ids=range(5)
)
def test_a_long_value_is_cut_at_200_bytes_and_between_two_characters(text: str) -> None:
    """Prometheus counts bytes, and drops the whole page for a longer one."""
    label = clean(text)

    assert 197 <= len(label.encode()) <= 200
    assert text.startswith(label)


@pytest.mark.parametrize("text", ["", "m", "模" * 66, "m" * 200], ids=range(4))
def test_a_value_that_fits_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_what_cannot_be_printed_is_a_question_mark() -> None:
    """A mountpoint may hold bytes that are no text at all."""
    assert clean("a\nb\ud800\udcff\u2028c") == "a?b???c"
