"""Server-sent events out of bytes cut anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.errors import UpstreamBroke
from dpl_router.upstreams.lines import LINE_LIMIT, valid
from dpl_router.upstreams.sse import SseEvent, SseReader

ALPHABET = (b"d", b"data:", b"data: ", b" ", b"event: error", b": x", b"\n", b"\r", b"\r\n")
SOUP = st.lists(
    st.sampled_from([*ALPHABET, b"\n\n", b"{}", "\u2028".encode(), b"\xf0\x9f", b"\xef\xbb\xbf"])
).map(b"".join)


def read(*pieces: bytes) -> list[SseEvent]:
    reader = SseReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.end()


@given(SOUP, st.data())
def test_the_events_do_not_depend_on_where_the_bytes_are_cut(
    stream: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]

    whole = read(stream)

    assert read(*pieces) == whole
    assert read(*(bytes([byte]) for byte in stream)) == whole


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_ends_a_line(end: bytes) -> None:
    assert read(end.join([b"data: a", b"data: b", b"", b"data:c", b"", b""])) == [
        (b"", b"a\nb"),
        (b"", b"c"),
    ]


def test_comments_ids_and_events_without_data_are_dropped() -> None:
    assert read(b": ping\n\nid: 7\nretry: 3\n\nevent: error\n\ndata: x\n\n") == [(b"", b"x")]


def test_the_name_of_an_event_is_its_own_only() -> None:
    assert read(b"event: error\ndata: x\n\ndata: y\n\n") == [(b"error", b"x"), (b"", b"y")]


def test_one_leading_byte_order_mark_is_dropped() -> None:
    assert read(b"\xef\xbb\xbfdata: x\n\n\xef\xbb\xbfdata: y\n\n") == [(b"", b"x")]


def test_exactly_one_space_after_the_colon_is_dropped() -> None:
    assert read(b"data:  x\ndata:y\ndata\n\n") == [(b"", b" x\ny\n")]


def test_separators_inside_text_are_text() -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf".encode()

    assert read(b"data: " + text + b"\n\n") == [(b"", text)]


def test_invalid_bytes_become_replacement_characters() -> None:
    assert read(b"data: a\xf0\x9fb\n\n") == [(b"", "a\ufffdb".encode())]
    assert valid("é".encode()) == "é".encode()


def test_the_last_event_may_lack_its_blank_line() -> None:
    assert read(b"data: [DONE]") == [(b"", b"[DONE]")]


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * LINE_LIMIT + b"\n",
        b":" + b"x" * (LINE_LIMIT + 1),
        b"data: xxxxxxxxxxxxx\n" * (LINE_LIMIT // 10),
        b"data:\n" * (LINE_LIMIT + 1),
    ],
    ids=["line", "unended", "many lines", "many empty lines"],
)
def test_what_never_ends_is_cut_off_at_a_mebibyte(stream: bytes) -> None:
    pieces = [stream[at : at + 65536] for at in range(0, len(stream), 65536)]

    with pytest.raises(UpstreamBroke, match="1 MiB"):
        read(*pieces)


def test_a_line_just_below_the_limit_passes() -> None:
    line = b"data: " + b"x" * (LINE_LIMIT - 10)

    assert len(read(line[:1000], line[1000:], b"\n\n")) == 1
