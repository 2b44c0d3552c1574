"""Calls that are passed on unread: what goes out, and what counts as an answer."""

import json

import pytest

from dpl_router.conversation import ChatRequest, Delta, Done, Failed, Piece, Usage
from dpl_router.errors import UpstreamBroke, UpstreamRefused
from dpl_router.upstreams.base import Dialect, Head
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect
from tests.fakes.ollama_replay import Exchange, exchanges
from tests.fakes.taken import taken

SSE = "text/event-stream"
JSON = "application/json"
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nmine\r\n'
    b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nmine\r\n--x--\r\n'
)


def call(
    body: bytes = b'{"model":"mine","x": [1,  2]}',
    *,
    path: str = "/v1/responses",
    stream: bool = False,
) -> ChatRequest:
    return ChatRequest("r1", "mine", body, stream, False, 1, api="opaque", path=path)


@pytest.fixture(params=[OpenAiDialect, LlamaCppDialect, OllamaDialect])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    dialect: Dialect = request.param()
    return dialect


def read(data: bytes, media: str = SSE, *, cut: int = 0) -> list[Piece]:
    head = Head(200, {"content-type": media})
    decoder = OpenAiDialect().decoder(call(stream=media == SSE), "theirs", head)
    pieces: list[Piece] = []
    step = cut or len(data) or 1
    for at in range(0, len(data), step):
        pieces += taken(decoder.feed(data[at : at + step]))
    if not any(isinstance(event, Done) for event, _ in pieces):
        pieces += taken(decoder.end())
    return pieces


def test_the_path_and_all_but_the_model_are_the_clients(dialect: Dialect) -> None:
    request = dialect.request(call(), "theirs")

    assert request.path == "/v1/responses"
    assert request.body == b'{"model":"theirs","x":[1,  2]}'
    assert request.headers["Accept"] == "*/*"


def test_a_stream_is_asked_for_without_options_of_ours(dialect: Dialect) -> None:
    request = dialect.request(call(b'{"model":"mine","stream":true}', stream=True), "theirs")

    assert request.body == b'{"model":"theirs","stream":true}'
    assert request.headers["Accept"] == SSE


def test_a_form_names_the_nodes_model_and_keeps_its_files(dialect: Dialect) -> None:
    form = call(FORM, path="/v1/audio/transcriptions")
    form.content_type = "multipart/form-data; boundary=x"
    at = FORM.rindex(b"mine")
    form.model_at = (at, at + len(b"mine"))

    request = dialect.request(form, "theirs")

    assert request.body == FORM[:at] + b"theirs" + FORM[at + 4 :]
    assert request.headers["Content-Type"] == "multipart/form-data; boundary=x"
    assert dialect.request(form, "mine").body == FORM


RECORDED = exchanges("answers/ends")
WHOLE = [one for one in RECORDED if one.name.startswith(("messages", "responses"))]
KILLED = [one for one in RECORDED if "v1-messages" in one.name or "v1-responses" in one.name]


@pytest.mark.parametrize("cut", [0, 1, 7])
@pytest.mark.parametrize("exchange", WHOLE, ids=[one.name for one in WHOLE])
def test_a_recorded_answer_is_passed_on_byte_for_byte(exchange: Exchange, cut: int) -> None:
    data = "".join(exchange.answer.chunks).encode()

    pieces = read(data, exchange.answer.headers["content-type"], cut=cut)

    done, _ = pieces[-1]
    assert b"".join(raw or b"" for _, raw in pieces) == data
    assert isinstance(done, Done)
    assert done.usage is not None
    assert (done.usage.prompt_tokens or 0) > 0
    assert (done.usage.completion_tokens or 0) > 0


@pytest.mark.parametrize("cut", [0, 1, 7])
@pytest.mark.parametrize("exchange", KILLED, ids=[one.name for one in KILLED])
def test_a_clean_end_without_a_last_word_is_a_cut(exchange: Exchange, cut: int) -> None:
    with pytest.raises(UpstreamBroke, match="last word"):
        read("".join(exchange.answer.chunks).encode(), cut=cut)


def test_nothing_after_the_last_word_is_passed_on() -> None:
    pieces = read(b'data: {"type":"message_stop"}\n\ndata: {"type":"ping"}\n\n')

    assert [raw for _, raw in pieces] == [b'data: {"type":"message_stop"}\n\n']


def test_only_what_says_a_piece_counts_as_one() -> None:
    said = b'event: ping\ndata: {"type":"ping"}\n\nevent: content_block_delta\ndata: {}\n\n'
    events = [event for event, _ in read(said + b"data: [DONE]\n\n")]

    assert [event.events for event in events if isinstance(event, Delta)] == [0, 1]


@pytest.mark.parametrize(
    "event",
    [
        'event: error\ndata: {"type":"error","error":{"message":"overloaded"}}',
        'data: {"type":"response.failed","response":{"error":{"message":"overloaded"}}}',
        'data: {"error":{"message":"overloaded"}}',
        "data: overloaded",
    ],
)
def test_an_error_event_breaks_the_answer_after_what_came(event: str) -> None:
    decoder = OpenAiDialect().decoder(call(stream=True), "theirs", Head(200, {"content-type": SSE}))
    begun = b'data: {"type":"response.created"}\n\n'

    [(_, raw), (end, _)] = decoder.feed(begun + event.encode() + b"\n\n")

    assert raw == begun
    assert isinstance(end, Failed)
    assert isinstance(end.error, UpstreamBroke)
    with pytest.raises(UpstreamRefused):
        read(event.encode() + b"\n\n")


@pytest.mark.parametrize("media", ["text/plain", "application/x-subrip", "audio/mpeg"])
def test_what_is_no_json_is_passed_on_as_it_is(media: str) -> None:
    assert read(b"\xff hello", media) == [(Done(None), b"\xff hello")]


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b'{"error":"Unexpected endpoint or method."}', JSON),
        (b"<html>", JSON),
        (b"<html>", "text/html"),
        (b'{"cut', JSON),
    ],
)
def test_a_200_that_is_no_answer_is_a_refusal(body: bytes, media: str) -> None:
    with pytest.raises(UpstreamRefused, match="200"):
        read(body, media)


@pytest.mark.parametrize(
    "body",
    [
        b'[{"index":0,"score":0.5}]',
        b'"hello"',
        b"5",
        b"null",
        b'{"response":"x"}',
        b'{"type":5}',
        b'{"message":["x"],"error":null}',
        b'{"error":false,"text":"x"}',
        b'{"error":"","text":"x"}',
        b'{"usage":"3 tokens"}',
        b'{"usage":{"input_tokens":"3"}}',
        b'{"usage":{"input_tokens":-3}}',
        b'{"usage":{"input_tokens":1e99}}',
        b'{"usage":{"input_tokens":2.5}}',
        b'{"message":{"usage":[]}}',
    ],
)
def test_what_is_not_known_is_passed_on_unjudged(body: bytes) -> None:
    event = b"event: odd\ndata: " + body + b"\n\n"

    assert read(body, JSON) == [(Done(None), body)]
    if body != b"null":
        told = read(event + b"data: [DONE]\n\n")
        assert [raw for _, raw in told] == [event, b"data: [DONE]\n\n"]
        assert told[-1][0] == Done(None)


@pytest.mark.parametrize("body", [b'[{"index":0', b'["a",]', b'{"type":5,"a":', b'"hel', b""])
def test_a_cut_is_told_whatever_was_cut(body: bytes) -> None:
    with pytest.raises(UpstreamRefused, match="200"):
        read(body, JSON)


@pytest.mark.parametrize("error", [b'"busy"', b'{"message":"busy"}', b"{}", b"503", b"true"])
def test_an_error_in_any_known_shape_is_one(error: bytes) -> None:
    with pytest.raises(UpstreamRefused, match="200"):
        read(b'{"type":5,"error":' + error + b"}", JSON)


def test_odd_usage_forgets_nothing_that_was_told_before() -> None:
    first = b'data: {"type":"message_start","message":{"usage":{"input_tokens":7}}}\n\n'
    last = b'data: {"usage":"odd"}\n\ndata: {"type":"message_stop"}\n\n'

    assert read(first + last)[-1][0] == Done(None, Usage(7, None))


def test_usage_is_read_in_the_words_of_either_protocol() -> None:
    said = json.dumps({"data": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}})

    assert read(said.encode(), JSON)[-1][0] == Done(None, Usage(3, 0))
