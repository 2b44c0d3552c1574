"""The stream decoder: what is an end, what is a failure, and that cuts change nothing."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.conversation import Delta, Done, Failed, Piece, Usage
from dpl_router.errors import (
    DplError,
    RequestRefused,
    UpstreamBroke,
    UpstreamBusy,
    UpstreamRefused,
)
from dpl_router.loose_json import without_lone_surrogates
from tests.fakes.taken import taken
from tests.router.upstreams.chunks import (
    DONE,
    chunk,
    decoder,
    event,
    events,
    failure,
    role,
    run,
    seen,
    text,
    tool,
)


def test_a_clean_end_after_the_finish_reason_is_an_end() -> None:
    assert events(run(role(), chunk({}, "stop")))[-1] == Done("stop")


def test_done_without_its_blank_line_is_an_end() -> None:
    assert events(run(role(), chunk({}, "stop"), b"data: [DONE]"))[-1] == Done("stop")


def test_usage_and_done_without_a_finish_reason_are_an_end() -> None:
    usage = event({"choices": [], "usage": {"completion_tokens": 1}})

    pieces = run(role("a"), usage, DONE)

    assert [one["choices"][0]["finish_reason"] for one in seen(pieces[:-1])] == [None, "stop"]
    assert pieces[-1][0] == Done("stop", Usage(None, 1, None))


def test_usage_with_an_empty_choice_after_the_finish_reason_undoes_nothing() -> None:
    """OpenRouter ends every stream so."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    pieces = run(role("Hi"), chunk({}, "length"), chunk({"content": ""}, usage=usage), DONE)

    assert events(pieces)[-1] == Done("length", Usage(3, 2))
    assert [one["choices"][0]["finish_reason"] for one in seen(pieces)[:-1]] == [None, "length"]
    assert seen(pieces)[-1]["choices"] == []
    assert seen(pieces)[-1]["usage"] == usage


def test_usage_alone_is_an_end_without_words() -> None:
    pieces = run(event({"choices": [], "usage": {"completion_tokens": 0}}), DONE)

    assert events(pieces) == [Done("stop", Usage(None, 0, None))]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"\n\n"],
        [role("a")],
        [role("a"), DONE],
        [DONE],
        [role("a"), b'data: {"id":"x","choices":[{"del'],
        [role("a"), event({"choices": [], "usage": {}})],
    ],
)
def test_a_clean_http_end_is_no_success(parts: list[bytes]) -> None:
    """A killed runner ends its streams so."""
    assert isinstance(failure(*parts), UpstreamBroke | UpstreamRefused)


ERRORS = [
    event({"error": {"message": "no luck", "status_code": 503}}),
    event({"error": {"message": "no luck", "code": 503}}),
    b'event: error\ndata: {"message":"no luck"}\n\n',
    event({"error": "no luck"}),
    event({"error_message": "no luck", "error_type": "x"}),
    event({"message": "no luck"}),
    event({"choices": [], "error": {"message": "no luck", "code": "server_error"}}),
]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_before_the_first_piece_lets_another_node_try(error: bytes) -> None:
    told = failure(error)

    assert isinstance(told, UpstreamRefused)
    assert told.message == "no luck"
    assert told.upstream_status in (200, 503)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_in_mid_stream_breaks_the_answer(error: bytes) -> None:
    told = failure(role("a"), error)

    assert isinstance(told, UpstreamBroke)
    assert told.message == "no luck"


@pytest.mark.parametrize("last", [ERRORS[0], b"data: nonsense\n\n", DONE])
def test_an_error_that_comes_with_the_first_words_breaks_them(last: bytes) -> None:
    """They are handed out, and nobody waits for more: the connection may stay open."""
    *words, (end, raw) = decoder().feed(role("a") + last)

    assert [event.text for event, _ in words if isinstance(event, Delta)] == ["a"]
    assert isinstance(end, Failed)
    assert isinstance(end.error, UpstreamBroke)
    assert raw == b""


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "too long", "code": 400}},
        {"error": {"message": "too long", "status_code": 400, "code": "x"}},
        {"object": "error", "message": "too long", "code": 400},
    ],
)
@pytest.mark.parametrize("before", [[], [role()], [event({"choices": [], "x": 1})]])
def test_an_error_of_the_requests_own_before_the_first_word_keeps_its_status(
    said: dict[str, Any], before: list[bytes]
) -> None:
    for parts in ([*before, event(said)], [b"".join([*before, event(said)])]):
        told = failure(*parts)

        assert isinstance(told, RequestRefused)
        assert (told.status, told.message) == (400, "too long")


def test_an_error_of_the_requests_own_behind_words_breaks_them() -> None:
    assert isinstance(
        failure(role("a"), event({"error": {"message": "m", "code": 400}})), UpstreamBroke
    )


@pytest.mark.parametrize("before", [[], [role()]])
def test_a_429_before_the_first_word_leaves_the_node_alone(before: list[bytes]) -> None:
    busy = event({"error": {"message": "m", "code": 429}})

    assert isinstance(failure(*before, busy), UpstreamBusy)
    assert isinstance(failure(b"".join([*before, busy])), UpstreamBusy)


def test_the_role_alone_is_no_word_and_goes_with_what_comes_next() -> None:
    reader = decoder()
    alone = reader.feed(role())
    told = seen(reader.feed(text("a")))

    assert alone == []
    assert [one["choices"][0]["delta"] for one in told] == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
    ]
    assert isinstance(failure(role(), ERRORS[0]), UpstreamRefused)
    assert isinstance(failure(role()), UpstreamRefused)


@pytest.mark.parametrize("last", [[DONE], []])
def test_an_answer_without_words_has_its_role(last: list[bytes]) -> None:
    pieces = run(role(), chunk({}, "stop"), *last)

    assert events(pieces) == [Delta(""), Delta(""), Done("stop")]
    assert seen(pieces)[0]["choices"][0]["delta"]["role"] == "assistant"


@pytest.mark.parametrize(
    "data",
    [b"{}", b"[]", b"7", b"nonsense", b'{"choices":[7]}', b'{"choices":{}}', b"[" * 100_000],
)
def test_an_event_that_is_no_chunk_breaks_the_answer(data: bytes) -> None:
    assert isinstance(failure(role("a"), b"data: " + data + b"\n\n"), UpstreamBroke)


@pytest.mark.parametrize("line", [b"data: " + b"x" * 2**20, b"data: x\n" * 2**19])
def test_a_line_without_an_end_breaks_what_has_begun(line: bytes) -> None:
    assert isinstance(failure(role("a"), line), UpstreamBroke)
    assert isinstance(failure(line), UpstreamRefused)


def test_an_error_without_words_is_an_error() -> None:
    assert "error" in failure(b"event: error\ndata: {}\n\n").message
    assert "error" in failure(event({"error": 7, "choices": []})).message


def test_a_null_error_is_none() -> None:
    assert events(run(chunk({"content": "a"}, "stop", error=None), DONE))[-1] == Done("stop")


def test_a_comment_wrapped_as_data_is_skipped() -> None:
    assert events(run(b"data: : PROCESSING\n\n", role(), chunk({}, "stop"), DONE))[0] == Delta("")


def test_invalid_bytes_never_reach_a_client() -> None:
    hurt = b'data: {"model":"m","x":"\xff","choices":[{"delta":{"content":"\xf0\x9f"}}]}\n\n'

    pieces = run(hurt, chunk({}, "stop"), DONE)

    assert pieces[0][0] == Delta("\ufffd")
    b"".join(raw or b"" for _, raw in pieces).decode()


def test_half_characters_become_replacement_characters() -> None:
    half = b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n'

    assert events(run(half, chunk({}, "stop"), DONE))[0] == Delta("a\ufffd")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (rb"\ud83d\ude00", rb"\ud83d\ude00"),
        (rb"\ud83d", rb"\ufffd"),
        (rb"\ude00\uD83D", rb"\ufffd\ufffd"),
        (rb"\\ud83d", rb"\\ud83d"),
        (rb"\\\ud83d", rb"\\\ufffd"),
        (rb"\ud83d\ud83d\ude00", rb"\ufffd\ud83d\ude00"),
    ],
)
def test_only_halves_without_their_other_half_are_replaced(said: bytes, kept: bytes) -> None:
    assert without_lone_surrogates(said) == kept


def test_json_over_several_lines_leaves_on_one() -> None:
    data = role("a")[6:].strip().replace(b",", b",\n").split(b"\n")
    lines = b"".join(b"data: " + line + b"\n" for line in data) + b"\n"

    pieces = run(lines, chunk({}, "stop"), DONE)

    assert (pieces[0][1] or b"").count(b"\n") == 2
    assert seen(pieces)[0]["choices"][0]["delta"]["content"] == "a"


PARTS = st.sampled_from(
    [
        role("a"),
        text("é\u2028"),
        text("b").replace(b"\n", b"\r\n"),
        chunk({"content": "c"}, "stop"),
        chunk({}, "length", index=1),
        chunk(tool(id="a", function={"name": "f"})),
        event({"choices": [], "usage": {"prompt_tokens": 1}}),
        event({"error": "no luck"}),
        b": ping\n\n",
        b"data: x\n\n",
        b"data: \xff\n",
        DONE,
    ]
)


def outcome(pieces: Sequence[bytes]) -> tuple[list[Piece], str]:
    reader = decoder()
    got: list[Piece] = []
    try:
        for part in pieces:
            got += taken(reader.feed(part))
        got += taken(reader.end())
    except DplError as error:
        return got, error.message
    return got, ""


@given(st.lists(PARTS, max_size=8), st.data())
def test_where_the_bytes_are_cut_changes_nothing(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]

    each, fault = outcome([bytes([byte]) for byte in stream])
    some, same = outcome([stream[a:b] for a, b in pairwise(edges)])

    assert same == fault
    assert some == each[: len(some)]
    assert fault or some == each
    b"".join(raw or b"" for _, raw in each).decode()


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_make_it_raise_anything_else(noise: bytes, framed: bool) -> None:
    outcome([role("a"), b"data: " + noise + b"\n\n" if framed else noise])
