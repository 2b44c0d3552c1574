"""Lines of JSON, wherever the network cuts them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.errors import UpstreamBroke
from dpl_router.upstreams.lines import LINE_LIMIT
from dpl_router.upstreams.ndjson import NdjsonReader


def lines(*pieces: bytes) -> list[bytes]:
    reader = NdjsonReader()
    return [line for piece in pieces for line in reader.feed(piece)] + reader.end()


@given(
    st.lists(st.dictionaries(st.text(), st.text(), min_size=1), max_size=6),
    st.integers(1, 9),
    st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
)
def test_what_was_written_is_read_wherever_it_is_cut(
    said: list[dict[str, str]], size: int, end: bytes
) -> None:
    data = b"".join(json.dumps(one, ensure_ascii=False).encode() + end for one in said)

    read = lines(*(data[at : at + size] for at in range(0, len(data), size)))

    assert [json.loads(line) for line in read] == said


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85"])
def test_what_looks_like_a_line_end_in_unicode_is_text(odd: str) -> None:
    assert lines(f'{{"a":"{odd}"}}\n'.encode()) == [f'{{"a":"{odd}"}}'.encode()]


def test_a_last_line_without_its_end_is_read() -> None:
    assert lines(b'{"a":1}\n{"b":', b"2}") == [b'{"a":1}', b'{"b":2}']


def test_a_cr_before_the_end_is_no_part_of_the_line() -> None:
    assert lines(b'{"a":1}\r', b'\n{"b":2}\r\n') == [b'{"a":1}', b'{"b":2}']


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert lines(b'\xef\xbb\xbf{"a":1}\n') == [b'{"a":1}']


def test_bytes_that_are_no_utf8_become_u_fffd() -> None:
    assert lines(b'{"a":"\xf0\x9f"}\n') == ['{"a":"\ufffd"}'.encode()]


@pytest.mark.parametrize("size", [LINE_LIMIT + 1, 4096])
def test_a_line_has_a_limit(size: int) -> None:
    with pytest.raises(UpstreamBroke, match="1 MiB"):
        lines(*[b"x" * size] * (LINE_LIMIT // size + 2))


def test_a_whole_line_over_the_limit_is_refused_too() -> None:
    with pytest.raises(UpstreamBroke, match="1 MiB"):
        lines(b"x" * (LINE_LIMIT + 1) + b"\n")
