"""Chunks put right: an odd one in, the client's out; what was not wrong stays."""

from collections.abc import Callable, Sequence

import pytest

from dpl_router.upstreams.openai_chunks import CHUNK
from dpl_router.upstreams.openai_mended import Choice, Names, apart, unfinished

TOP = b'"id":"x","created":7,"object":"chat.completion.chunk","model":"mine"'
FIRST = b'{"id":"x","created":7,"model":"theirs","choices":[]}'


def names(first: bytes = FIRST) -> Names:
    """Of a stream whose first chunk was that."""
    told = Names("mine", ("ours", 9))
    told.take(CHUNK.decode(first))
    return told


def one(choice: bytes) -> bytes:
    return b'{%b,"choices":[%b]}' % (TOP, choice)


def said(delta: bytes, finish: bytes = b"null") -> bytes:
    return one(b'{"index":0,"delta":%b,"finish_reason":%b}' % (delta, finish))


def odd_and_mended(payload: bytes, *, begun: bool) -> tuple[bool, bytes]:
    [part], choice = CHUNK.decode(payload).choices or [], Choice(begun)
    return choice.odd(part), names().mended(payload, choice, choice.place_tools(part.delta))


@pytest.mark.parametrize(
    ("begun", "odd", "right"),
    [
        (False, said(b'{"content":"a"}'), said(b'{"role":"assistant","content":"a"}')),
        (True, said(b'{"role":"assistant","content":"a"}'), said(b'{"content":"a"}')),
        (True, said(b"null"), said(b"{}")),
        (False, said(b"null"), said(b'{"role":"assistant"}')),
        (True, said(b'{"content":"a"}', b'""'), said(b'{"content":"a"}')),
        (True, one(b'{"index":1}'), one(b'{"index":1,"delta":{}}')),
        (
            True,
            said(b'{"tool_calls":[{"id":"c"},{"id":"d"}]}'),
            said(b'{"tool_calls":[{"id":"c","index":0},{"id":"d","index":1}]}'),
        ),
        (
            True,
            said(b'{"tool_calls":[{"index":2,"id":"","function":{"arguments":"1"}}]}'),
            said(b'{"tool_calls":[{"index":2,"function":{"arguments":"1"}}]}'),
        ),
        (
            True,
            said(b'{"tool_calls":[{"index":2,"function":{"name":"","arguments":"1"}}]}'),
            said(b'{"tool_calls":[{"index":2,"function":{"arguments":"1"}}]}'),
        ),
        (
            True,
            said(b'{"tool_calls":[{"function":null}]}'),
            said(b'{"tool_calls":[{"function":null,"index":0}]}'),
        ),
    ],
)
def test_what_is_wrong_inside_a_choice_is_put_right(begun: bool, odd: bytes, right: bytes) -> None:
    assert odd_and_mended(odd, begun=begun) == (True, right)


@pytest.mark.parametrize(
    ("begun", "plain"),
    [
        (False, said(b'{"role":"assistant","content":""}')),
        (True, said(b'{"content":"a","own":{"a": 1.50}}')),
        (True, said(b"{}", b'"stop"')),
        (True, said(b'{"tool_calls":[{"id":"c","index":0,"function":{"name":"f"}}]}')),
    ],
)
def test_a_plain_choice_needs_nothing_and_would_not_change(begun: bool, plain: bytes) -> None:
    assert odd_and_mended(plain, begun=begun) == (False, plain)


@pytest.mark.parametrize(
    ("top", "foreign"),
    [
        (TOP, False),
        (TOP.replace(b'"x"', b'"y"'), True),
        (TOP.replace(b"7", b"8"), True),
        (TOP.replace(b"mine", b"theirs"), True),
        (TOP.replace(b'"x"', b"null"), True),
    ],
)
def test_every_chunk_carries_the_names_of_the_first(top: bytes, foreign: bool) -> None:
    payload = b'{%b,"choices":[],"own":{"a": 1.50}}' % top

    assert names().foreign(CHUNK.decode(payload)) == foreign
    assert names().renamed(payload) == b'{%b,"choices":[],"own":{"a": 1.50}}' % TOP


def test_names_are_learned_once() -> None:
    told = names()
    told.take(CHUNK.decode(b'{"id":"y","created":8}'))

    assert told.renamed(b"{%b}" % TOP) == b"{%b}" % TOP


def test_a_node_without_id_and_time_gets_the_spare_ones() -> None:
    ours = TOP.replace(b'"x"', b'"ours"').replace(b"7", b"9")

    assert names(b'{"id":"","created":0}').renamed(b"{%b}" % TOP) == b"{%b}" % ours


def halves(payload: bytes) -> list[bytes]:
    return list(apart(payload))


def ended(payload: bytes) -> list[bytes]:
    return [unfinished(payload)]


def counted(payload: bytes) -> list[bytes]:
    return [names().usage(payload)]


@pytest.mark.parametrize(
    ("way", "payload", "right"),
    [
        (halves, one(b'{"index":0},{"index":1}'), [one(b'{"index":0}'), one(b'{"index":1}')]),
        (ended, said(b'{"content":"a"}', b'"stop"'), [said(b'{"content":"a"}')]),
        (counted, b'{"usage":{"own": 1.50}}', [b'{"usage":{"own": 1.50},%b,"choices":[]}' % TOP]),
        (counted, one(b'{"index":0}'), [one(b"")]),
    ],
)
def test_the_other_chunks_that_change(
    way: Callable[[bytes], list[bytes]], payload: bytes, right: Sequence[bytes]
) -> None:
    assert way(payload) == right


def test_a_missing_end_is_told_under_the_names() -> None:
    end = b'{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}],%b}' % TOP

    assert names().finish(1) == end
