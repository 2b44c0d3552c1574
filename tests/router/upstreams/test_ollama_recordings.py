"""Every recorded answer of a real Ollama, whole and cut anywhere, for clients of both protocols."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.conversation import Api, ChatRequest, Delta, Done, Piece, ToolCall, Vectors
from dpl_router.errors import RequestRefused, UpstreamBroke, UpstreamRefused
from dpl_router.upstreams.base import Dialect, Head
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect
from tests.fakes.ollama_replay import Exchange, exchanges
from tests.fakes.taken import taken

FOLDERS = ("03-chat", "04-generate", "05-embed", "07-openai", "09-behaviour")
APIS: dict[str, tuple[Api, Api]] = {
    "/api/chat": ("ollama.chat", "openai.chat"),
    "/api/generate": ("ollama.generate", "openai.completion"),
    "/api/embed": ("ollama.embed", "openai.embedding"),
    "/api/embeddings": ("ollama.embeddings", "openai.embedding"),
    "/v1/chat/completions": ("openai.chat", "ollama.chat"),
    "/v1/completions": ("openai.completion", "ollama.generate"),
    "/v1/embeddings": ("openai.embedding", "ollama.embed"),
}
"""Who speaks so, and who is served so in translation."""

SHORTENED = "…"
"""In base64 it is none any more."""


def recorded() -> list[Exchange]:
    found = [one for folder in FOLDERS for one in exchanges(f"v0.32.15/{folder}")]
    found += [*exchanges("v0.24.0/05-embed"), *exchanges("answers/ends")]
    asked = [one for one in found if one.method == "POST" and one.path in APIS and not one.cut]
    return [
        one for one in asked if not (one.path == "/v1/embeddings" and SHORTENED in body_of(one))
    ]


def body_of(exchange: Exchange) -> str:
    return "".join(exchange.answer.chunks)


def naive(exchange: Exchange) -> list[dict[str, Any]]:
    """The objects of an answer, read without care."""
    lines = [line.removeprefix("data: ") for line in body_of(exchange).split("\n") if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def whole(exchange: Exchange) -> bool:
    """It came to its true end."""
    last = naive(exchange)[-1]
    return "error" not in last and bool(last.get("model", "-"))


ANSWERS = [one for one in recorded() if one.answer.status == 200]
GOOD = [one for one in ANSWERS if whole(one)]
CUT = [one for one in ANSWERS if not whole(one)]
REFUSALS = [one for one in recorded() if one.answer.status >= 400]


def call_of(exchange: Exchange, api: Api) -> ChatRequest:
    try:
        asked = json.loads(exchange.body)
    except ValueError:
        asked = {}
    said = naive(exchange)
    model = next((one["model"] for one in said if one.get("model")), "m")
    body = {"model": model}
    if isinstance(asked, dict) and asked.get("encoding_format"):
        body["encoding_format"] = asked["encoding_format"]
    if exchange.path == "/v1/completions":
        body["raw"] = True
    stream = "json" not in exchange.answer.headers["content-type"].replace("ndjson", "stream")
    data = json.dumps(body).encode()
    return ChatRequest("r1", model, data, stream, wants_usage=True, prompt_tokens=1, api=api)


def pieces_of(exchange: Exchange, api: Api, cuts: Sequence[int] = ()) -> list[Piece]:
    dialect: Dialect = OpenAiDialect() if exchange.path.startswith("/v1") else OllamaDialect()
    call = call_of(exchange, api)
    head = Head(200, {"content-type": exchange.answer.headers["content-type"]})
    decoder = dialect.decoder(call, call.model, head)
    data = body_of(exchange).encode()
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    pieces: list[Piece] = []
    for start, end in pairwise(edges):
        pieces += taken(decoder.feed(data[start:end]))
    if not any(isinstance(event, Done) for event, _ in pieces):
        pieces += taken(decoder.end())
    return pieces


def text(pieces: Sequence[Piece]) -> tuple[str, str]:
    deltas = [event for event, _ in pieces if isinstance(event, Delta)]
    return "".join(one.text for one in deltas), "".join(one.thinking for one in deltas)


def naive_text(exchange: Exchange) -> tuple[str, str]:
    text, thinking = "", ""
    for one in naive(exchange):
        [choice] = one.get("choices") or [{}]
        said = choice.get("delta") or choice.get("message") or one.get("message") or one
        text += said.get("content") or said.get("response") or choice.get("text") or ""
        thinking += said.get("thinking") or said.get("reasoning") or ""
    return text, thinking


def count(exchange: Exchange) -> int | None:
    last = [one.get("usage") or one for one in naive(exchange)][-1]
    return cast("int | None", last.get("eval_count", last.get("completion_tokens")))


def test_the_recordings_are_many() -> None:
    assert len(GOOD) > 80
    assert len(CUT) >= 4
    assert len(REFUSALS) > 60


@pytest.mark.parametrize("exchange", GOOD, ids=[f"{one.folder}/{one.name}" for one in GOOD])
def test_a_recorded_answer_is_read_whole(exchange: Exchange) -> None:
    own, other = APIS[exchange.path]
    for api in (own, other):
        pieces = pieces_of(exchange, api)
        vectors = [event for event, _ in pieces if isinstance(event, Vectors)]
        events = [event for event, _ in pieces if isinstance(event, Delta | ToolCall | Vectors)]

        assert isinstance(pieces[-1][0], Done)
        assert all(raw is not None for _, raw in pieces)
        if events and not vectors:
            assert text(pieces) == naive_text(exchange)
            assert (pieces[-1][0].usage and pieces[-1][0].usage.completion_tokens) == count(
                exchange
            )


@pytest.mark.parametrize("exchange", GOOD, ids=[f"{one.folder}/{one.name}" for one in GOOD])
def test_a_client_of_ollamas_gets_the_bytes_as_they_came(exchange: Exchange) -> None:
    own, _ = APIS[exchange.path]
    if not own.startswith("ollama"):
        return

    raw = b"".join(raw or b"" for _, raw in pieces_of(exchange, own))

    assert raw.decode().rstrip("\n") == body_of(exchange).rstrip("\n")


@given(st.sampled_from(GOOD), st.lists(st.integers(0, 10_000), max_size=8))
def test_wherever_an_answer_is_cut_it_says_the_same(exchange: Exchange, cuts: list[int]) -> None:
    for api in APIS[exchange.path]:
        pieces = pieces_of(exchange, api, cuts)

        assert text(pieces) == text(pieces_of(exchange, api))


@pytest.mark.parametrize("exchange", CUT, ids=[one.name for one in CUT])
def test_a_recorded_death_is_never_a_clean_end(exchange: Exchange) -> None:
    for api in APIS[exchange.path]:
        with pytest.raises((UpstreamBroke, UpstreamRefused)):
            pieces_of(exchange, api)


BLAMELESS = frozenset(
    {"embed-chat-model", "embeddings-chat-model", "format-unknown", "format-number",
     "options-wrong-value", "bad-template", "bad-context"}
)  # fmt: skip
"""500 and 501, and no fault of the node's."""


@pytest.mark.parametrize("exchange", REFUSALS, ids=[f"{one.folder}/{one.name}" for one in REFUSALS])
def test_a_recorded_refusal_is_the_requests_or_the_nodes(exchange: Exchange) -> None:
    status, body = exchange.answer.status, body_of(exchange).encode()

    error = OllamaDialect().refusal(Head(status, exchange.answer.headers), body)

    theirs = status in (400, 413, 415) or exchange.name in BLAMELESS
    assert isinstance(error, RequestRefused if theirs else UpstreamRefused)
    assert '{"' not in error.message, "the runner's JSON is not for people"


NATIVE = [one for one in REFUSALS if one.path.startswith("/api")]


@pytest.mark.parametrize("exchange", NATIVE, ids=[f"{one.folder}/{one.name}" for one in NATIVE])
def test_no_recorded_refusal_of_a_model_is_taken_for_a_missing_path(exchange: Exchange) -> None:
    call = ChatRequest("r1", "m", b'{"messages":[]}', True, False, 1, api="ollama.chat")
    head = Head(exchange.answer.status, exchange.answer.headers)

    assert OllamaDialect().second(call, "m", head, body_of(exchange).encode()) is None


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_missing_path_is_asked_for_by_its_elder(status: int) -> None:
    body = b'{"messages":[{"role":"user","content":"hi"}]}'
    call = ChatRequest("r1", "m", body, True, False, 1, api="ollama.chat")

    second = OllamaDialect().second(call, "node-m", Head(status, {}), b"404 page not found")

    assert second is not None
    assert second.path == "/api/generate"
    assert json.loads(second.body) == {"model": "node-m", "prompt": "hi", "stream": True}
