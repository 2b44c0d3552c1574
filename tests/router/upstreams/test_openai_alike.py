"""Runs of alike events: the same words and bytes as when each event is parsed by itself."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.conversation import Delta, Piece
from dpl_router.errors import UpstreamBroke
from dpl_router.upstreams.openai_alike import learn
from dpl_router.upstreams.openai_chunks import CHUNK
from tests.router.upstreams.chunks import DONE, chunk, decoder, event, events, role, seen, text

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def told(pieces: Sequence[Piece]) -> tuple[str, int]:
    """(text, events of the node) of all deltas."""
    deltas = [event for event in events(pieces) if isinstance(event, Delta)]
    return "".join(delta.text for delta in deltas), sum(delta.events for delta in deltas)


def fed(data: bytes, places: Sequence[int]) -> list[Piece]:
    reader, pieces = decoder(), list[Piece]()
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        pieces += reader.feed(data[start:end])
    return pieces


def test_a_run_is_passed_on_as_one_piece_with_the_count_of_its_events() -> None:
    reader = decoder()
    reader.feed(role() + text("a"))

    [(delta, raw)] = reader.feed(text("b") + text('"c\n') + text("d"))

    assert delta == Delta('b"c\nd', events=3)
    assert raw == text("b") + text('"c\n') + text("d")


@given(st.lists(WORDS, max_size=30), st.lists(st.integers(0, 10_000), max_size=20))
def test_however_the_bytes_are_cut_nothing_is_lost_or_changed(
    words: list[str], cuts: list[int]
) -> None:
    parts = [role(), *(text(word) for word in words), chunk({}, "stop")]
    data = b"".join(parts) + DONE
    places = sorted(cut % len(data) for cut in cuts)

    pieces = fed(data, places)

    assert told(pieces) == ("".join(words), len(words) + 2)
    assert b"".join(raw or b"" for _, raw in pieces) == b"".join(parts)


@pytest.mark.parametrize(
    "odd",
    [
        chunk({"content": "b"}, id="y"),
        chunk({"content": "b"}, model="other"),
        chunk({"role": "assistant", "content": "b"}),
        chunk({"content": "b"}, ""),
        text("b").replace(b'"b"', b'"\\ud83d"'),
        text("b").replace(b'"b"', b'"\xff"'),
    ],
)
def test_an_event_that_must_change_is_changed_in_the_midst_of_a_run(odd: bytes) -> None:
    pieces = fed(role() + text("a") + text("a") + odd + text("c"), [len(role() + text("a"))])

    assert {(one["id"], one["model"]) for one in seen(pieces)} == {("x", "m")}
    assert [one["choices"][0]["finish_reason"] for one in seen(pieces)] == [None] * 5
    assert told(pieces)[0][:2] == "aa"
    assert told(pieces)[0][-1] == "c"


def test_what_follows_a_run_is_alike_only_where_all_of_it_is() -> None:
    reader = decoder()
    even = [role(), text("a"), text("b"), text("c")]
    cut = text("d") + text("e")

    pieces = [piece for part in (*even, cut[:-9]) for piece in reader.feed(part)]
    before = b"".join(raw or b"" for _, raw in pieces)
    pieces += reader.feed(cut[-9:])

    assert before == b"".join(even) + text("d")
    assert told(pieces) == ("abcde", 6)


def test_an_event_behind_one_that_is_not_alike_is_parsed() -> None:
    """A finish that comes too early is taken back when there is more."""
    parts = [role(), text("a"), text("b"), text("c"), chunk({}, "stop"), text("d")]
    reader = decoder()

    pieces = [piece for part in parts for piece in reader.feed(part)]

    finishes = [one["choices"][0]["finish_reason"] for one in seen(pieces)]
    assert finishes == [None] * 6
    assert told(pieces)[0] == "abcd"


def test_a_name_that_came_before_an_event_is_not_forgotten_for_its_likeness() -> None:
    reader = decoder()
    for part in (role(), text("a"), text("b"), text("c"), b"event: error\n"):
        reader.feed(part)

    with pytest.raises(UpstreamBroke):
        reader.feed(text("d"))


def test_a_text_that_closes_its_string_is_parsed() -> None:
    """`a","role":"x` would pass for text if only what stands around it were looked at."""
    forged = text("b").replace(b'"b"', b'"b","reasoning":"c"')

    [_, _, (delta, _)] = fed(role() + text("a") + forged, [len(role()), len(role() + text("a"))])

    assert delta == Delta("b", "c")


@pytest.mark.parametrize(("half", "other"), [(b"\\", b"n"), (b"\xc3", b"\xa9")])
def test_halves_of_two_events_do_not_make_a_whole(half: bytes, other: bytes) -> None:
    first, second = text("Q").replace(b"Q", half), text("Q").replace(b"Q", other)

    assert learned().run(first + second) is None


def learned() -> Any:
    payload = text("a")[6:-2]
    return learn(payload, CHUNK.decode(payload))


@pytest.mark.parametrize(
    "said",
    [
        chunk({"content": "a", "reasoning": "b"}),
        chunk({"content": "a"}, usage={"completion_tokens": 1}),
        chunk({"content": [{"text": "a"}]}),
        chunk({"content": None}),
        event({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": []}}]}),
    ],
)
def test_what_says_more_than_a_piece_of_text_is_never_taken_for_one(said: bytes) -> None:
    payload = said[6:-2]

    assert learn(payload, CHUNK.decode(payload)) is None


def test_a_namesake_of_the_text_elsewhere_is_not_taken_for_it() -> None:
    payload = event({"note": {"content": "n"}, "choices": [{"delta": {"content": "a"}}]})[6:-2]

    assert learn(payload, CHUNK.decode(payload)) is None
