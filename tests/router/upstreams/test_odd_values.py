"""Values of another kind than the protocol's: whatever a node says, nobody but it is to blame."""

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest

from dpl_router.conversation import Api, ChatRequest, Delta, Done, Event, Failed, Piece
from dpl_router.dispatch.attempt import Attempt
from dpl_router.errors import RequestRefused, UpstreamBroke, UpstreamError, UpstreamRefused
from dpl_router.tallies import Buckets
from dpl_router.upstreams.base import Decoder, Dialect, Head
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect
from dpl_router.upstreams.stream import Limits, Timeouts, UpstreamStream

SSE, NDJSON, JSON = "text/event-stream", "application/x-ndjson", "application/json"
NOBODY = cast(Any, None)
ODD_VALUES = (
    *("null", "true", "[]", "{}", '""', '"x"', "0", "-1", "1.5", "1e999", "1e308", "9" * 40),
    *('"\\ud83d"', "[null]", "[{}]", '{"a":1}', '[1,"a"]', "NaN", '["a"]', "[[1,2]]", '{"":""}'),
)
TOP: dict[str, Any] = {"id": "a", "created": 1, "model": "mine"}
TOKEN: dict[str, Any] = {"token": "x", "logprob": -1, "bytes": [1]}
LOGPROBS: dict[str, Any] = {"content": [{**TOKEN, "top_logprobs": [TOKEN]}]}
COLUMNS: dict[str, Any] = {"tokens": ["a"], "token_logprobs": [-1], "top_logprobs": [{"a": -1}]}
TOOL: dict[str, Any] = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}
USAGE: dict[str, Any] = {
    "usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}},
    "timings": {"prompt_n": 1, "prompt_ms": 1.0, "predicted_n": 1, "predicted_ms": 1.0},
}
ERROR: dict[str, Any] = {"error": {"message": "m", "code": 500, "type": "x"}}


def chunk(delta: Any, finish: str | None = None, **choice: Any) -> dict[str, Any]:
    return {**TOP, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **choice}]}


def text(said: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "text": said, "logprobs": COLUMNS, "finish_reason": finish}
    return {**TOP, "choices": [choice], **more}


SPOKEN: dict[str, Any] = {"role": "assistant", "content": "x", "reasoning_content": "t"}
CHAT = [
    chunk(SPOKEN, logprobs=LOGPROBS),
    chunk({"content": "y"}),
    chunk({"tool_calls": [TOOL]}),
    chunk({}, "stop", **USAGE),
    {**TOP, "choices": [], **USAGE},
    "[DONE]",
]
CUT = [chunk(SPOKEN), ERROR]
TEXT = [text("x"), text("", "stop", **USAGE), "[DONE]"]
MESSAGE = {"content": "x", "tool_calls": [TOOL]}
WHOLE = {
    **TOP,
    **USAGE,
    "choices": [{"message": MESSAGE, "logprobs": LOGPROBS, "finish_reason": "stop"}],
}
VECTOR = {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "AACAPw=="}], **TOP}
COUNTS = {"prompt_eval_count": 1, "eval_count": 1, "eval_duration": 1, "prompt_eval_duration": 1}
CALLED = {"role": "assistant", "content": "x", "thinking": "t", "tool_calls": [TOOL]}
RECORDS = [
    {"model": "mine", "message": CALLED, "logprobs": [TOKEN], "done": False},
    {"model": "mine", "message": {"content": ""}, "done": True, "done_reason": "stop", **COUNTS},
]
GENERATED = [
    {"model": "mine", "response": "x", "thinking": "t", "logprobs": [TOKEN], "done": False},
    {"model": "mine", "response": "", "done": True, "done_reason": "stop", **COUNTS},
]
EMBEDDED = {"model": "mine", "embeddings": [[1.0, 2.0]], "load_duration": 1}

OPENAI, LLAMACPP, OLLAMA = OpenAiDialect, LlamaCppDialect, OllamaDialect
Case = tuple[Callable[[], Dialect], Sequence[Api], str, Sequence[Any]]
CHATS: Sequence[Api] = ("openai.chat", "ollama.chat")
EMBEDS: Sequence[Api] = ("openai.embedding", "ollama.embed", "ollama.embeddings")
CASES: Sequence[Case] = (
    *((dialect, CHATS, SSE, said) for dialect in (OPENAI, LLAMACPP) for said in (CHAT, CUT)),
    *((dialect, CHATS, JSON, [WHOLE]) for dialect in (OPENAI, LLAMACPP)),
    *((dialect, CHATS, NDJSON, RECORDS) for dialect in (OPENAI, OLLAMA)),
    *((dialect, ("openai.completion",), SSE, TEXT) for dialect in (OPENAI, LLAMACPP)),
    (OPENAI, ("ollama.generate",), SSE, CHAT),
    (OPENAI, ("openai.completion",), JSON, [text("x", "stop")]),
    (OPENAI, EMBEDS, JSON, [VECTOR]),
    (OLLAMA, (*CHATS, "openai.completion", "ollama.generate"), NDJSON, GENERATED),
    (OLLAMA, (*CHATS, "openai.completion"), JSON, GENERATED[-1:]),
    (OLLAMA, EMBEDS, JSON, [EMBEDDED]),
    (OPENAI, ("opaque",), SSE, [{"type": "x", "delta": "a", **USAGE}, {"type": "message_stop"}]),
)
BODIES: dict[Api, dict[str, Any]] = {
    "openai.completion": {"logprobs": 1},
    "openai.embedding": {"encoding_format": "base64"},
}


def places(said: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every value in it."""
    lists = enumerate(said) if isinstance(said, list) else ()
    for key, one in said.items() if isinstance(said, dict) else lists:
        yield (*path, key)
        yield from places(one, (*path, key))


def mutated(said: Any, chance: random.Random) -> str:
    if isinstance(said, str):
        return said
    whole = json.loads(json.dumps(said))
    path = chance.choice(list(places(whole)))
    at = whole
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = "@@"
    return json.dumps(whole).replace('"@@"', chance.choice(ODD_VALUES))


def framed(said: Sequence[str], media: str) -> bytes:
    if media == SSE:
        return "".join(f"data: {one}\n\n" for one in said).encode()
    return "\n".join(said).encode()


class Whole(UpstreamStream):
    """An answer that is here already, in pieces of `size` bytes."""

    def __init__(self, media: str, data: bytes, size: int) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(NOBODY, (b"", b""), Timeouts(), Limits(), loop, 0.0)
        self.came = Head(200, {"content-type": media})
        self._parts = [data[at : at + size] for at in range(0, len(data), size)]

    def take(self) -> bytes:
        return self._parts.pop(0) if self._parts else b""

    async def more(self) -> bool:
        return bool(self._parts)

    def whole(self) -> bool:
        return not self._parts

    def finish(self) -> None:
        self._parts.clear()


class Node:
    """One that speaks `dialect`."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect


async def asked(dialect: Dialect, call: ChatRequest, stream: Whole) -> bytes:
    """The client's bytes. Raises: as `Attempt` does."""
    gone = asyncio.get_running_loop().create_future()
    attempt = Attempt("1", cast(Any, Node(dialect)), "mine", stream, gone, 0.0)
    pieces: list[Piece] = []
    try:
        pieces += await attempt.first(call)
        pieces += await attempt.rest()
    except UpstreamBroke:
        assert pieces, "it was broken before it had begun"
        raise
    except UpstreamRefused:
        assert not pieces, "it was refused after it had begun"
        raise
    assert isinstance(pieces[-1][0], Done)
    return b"".join(raw or b"" for _, raw in pieces)


async def test_an_odd_value_is_an_answer_that_cannot_be_read_or_does_no_harm() -> None:
    chance, failed = random.Random(7), 0
    for _ in range(1200):
        dialect, apis, media, said = chance.choice(CASES)
        api, stream = chance.choice(apis), chance.choice((True, False))
        body = json.dumps({"stream": stream, **BODIES.get(api, {})}).encode()
        call = ChatRequest("r1", "mine", body, stream, chance.random() < 0.5, 1, api=api)
        odd = list(said)
        at = chance.randrange(len(odd))
        odd[at] = mutated(odd[at], chance)
        told = [one if isinstance(one, str) else json.dumps(one) for one in odd]
        data = framed(told, media)
        try:
            await asked(dialect(), call, Whole(media, data, chance.choice((len(data), 7, 50))))
        except UpstreamError:
            failed += 1

    assert 200 < failed < 1000  # both are met


TOO_LONG = {"message": "too long", "code": 400}
INSIDE: Sequence[tuple[Api, str, dict[str, Any]]] = [
    *((api, SSE, {"error": TOO_LONG}) for api in (*CHATS, "openai.completion", "opaque")),
    *((api, JSON, {"error": TOO_LONG}) for api in (*CHATS, "openai.completion", "opaque")),
    *((api, JSON, {"object": "error", **TOO_LONG}) for api in EMBEDS),
    ("openai.completion", SSE, {"object": "error", **TOO_LONG}),
]


@pytest.mark.parametrize(("api", "media", "said"), INSIDE)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", [OPENAI, LLAMACPP])
async def test_a_400_inside_of_a_200_is_the_requests_own(
    dialect: Callable[[], Dialect], api: Api, media: str, said: dict[str, Any], stream: bool
) -> None:
    if media == SSE and not stream and dialect is OPENAI and api.startswith("openai."):
        stream = True  # it asked for no such thing
    call = ChatRequest("r1", "mine", b"{}", stream, False, 1, api=api)

    with pytest.raises(RequestRefused, match=r"^too long$"):
        await asked(dialect(), call, Whole(media, framed([json.dumps(said)], media), 50))


def test_an_error_with_an_odd_code_is_told_all_the_same() -> None:
    data = b'data: {"error":{"message":"no luck","code":1e999}}\n\n'
    call = ChatRequest("r1", "mine", b"{}", True, False, 1)
    decoder = OpenAiDialect().decoder(call, "mine", Head(200, {"content-type": SSE}))

    with pytest.raises(UpstreamRefused, match="no luck"):
        decoder.feed(data)


async def test_odd_logprobs_do_not_take_the_answer_away() -> None:
    choice = {"index": 0, "text": "x", "logprobs": 7, "finish_reason": None}
    columns = {**choice, "logprobs": {**COLUMNS, "top_logprobs": True}}
    said = [{**TOP, "choices": [one]} for one in (choice, columns)]
    data = framed([*map(json.dumps, [*said, TEXT[1]]), "[DONE]"], SSE)
    for stream in (True, False):
        call = ChatRequest("r1", "mine", b"{}", stream, False, 1, api="openai.completion")

        assert b'"text"' in await asked(LlamaCppDialect(), call, Whole(SSE, data, 50))


class Forgetful:
    """A decoder that does not notice that the last word is missing."""

    def __init__(self, *pieces: Piece) -> None:
        self.pieces: Sequence[Piece] = pieces

    def feed(self, data: bytes) -> Sequence[Piece]:
        pieces, self.pieces = self.pieces, ()
        return pieces

    def end(self) -> Sequence[Piece]:
        return ()


class Careless(OpenAiDialect):
    def __init__(self, *pieces: Piece) -> None:
        super().__init__()
        self._pieces = pieces

    def decoder(self, call: ChatRequest, model: str, head: Head) -> Decoder:
        return Forgetful(*self._pieces)


async def test_a_decoder_that_forgets_to_ask_for_the_end_does_not_spin_for_ever() -> None:
    call = ChatRequest("r1", "mine", b"{}", False, False, 1)

    with pytest.raises(UpstreamRefused, match="last word"):
        async with asyncio.timeout(5):
            await asked(Careless(), call, Whole(JSON, b"x", 1))


class Lines:
    """Connections that nobody needs."""

    def connect(self, stream: UpstreamStream) -> None:
        raise AssertionError

    def forget(self, stream: UpstreamStream) -> None:
        """Nothing is kept."""


async def test_an_odd_value_in_mid_stream_breaks_the_answer() -> None:
    loop = asyncio.get_running_loop()
    stream = UpstreamStream(Lines(), (b"", b""), Timeouts(), Limits(), loop, 0.0)

    def feed(data: bytes) -> Sequence[Piece]:
        raise KeyError("the key is sk-0123456789")

    poured: list[Piece] = []
    stream.tap(feed, poured.extend)
    stream.data_came(b"x")

    with pytest.raises(UpstreamBroke, match=r"cannot be read: 'the key is \[redacted\]"):
        await stream.over()


class Written:
    """A client's connection that keeps what was written."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.data.append(data)


@pytest.mark.parametrize("packet", [(), (Delta(""), Failed(UpstreamBroke("the last word")))])
async def test_an_end_without_its_last_word_is_told_and_nothing_empty_is_written(
    packet: Sequence[Event],
) -> None:
    """An empty chunk would be the end of the client's answer, as if it were whole."""
    loop = asyncio.get_running_loop()
    stream = UpstreamStream(Lines(), (b"", b""), Timeouts(), Limits(), loop, 0.0)
    stream.came = Head(200, {})
    node = cast(Any, Node(Careless((Delta("a"), b"a"))))
    attempt = Attempt("1", node, "mine", stream, loop.create_future(), 0.0)
    stream.data_came(b"x")
    await attempt.first(ChatRequest("r1", "mine", b"{}", True, False, 1))
    decoder, wire = cast(Forgetful, attempt._decoder), Written()
    decoder.pieces = [(event, b"") for event in packet]
    if packet:
        stream.data_came(b"x")
    stream.ended()

    with pytest.raises(UpstreamBroke, match="last word"):
        async with asyncio.timeout(5):
            await attempt.flow(cast(Any, wire), lambda _: None, Buckets(()))

    assert wire.data == []
