"""The OpenAI dialect: vLLM, SGLang, LM Studio and whoever says they speak it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec

from dpl_router.conversation import ChatRequest, Done, Piece
from dpl_router.errors import DplError, UpstreamBroke, UpstreamRefused
from dpl_router.listing import Listed
from dpl_router.upstreams.base import Decoder, Head, Request
from dpl_router.upstreams.complaint import complaint, refusal
from dpl_router.upstreams.openai_chunks import (
    FIELDS,
    MALFORMED,
    MODELS,
    WHOLE,
    Fields,
    Whole,
    is_error,
    raw,
    without_lone_surrogates,
)
from dpl_router.upstreams.openai_stream import CHUNK_OBJECT, NULL, StreamDecoder
from dpl_router.upstreams.sse import valid

PLAIN_LIMIT = 32 * 1024 * 1024
TRUE = raw(True)


class OpenAiDialect:
    """`clock` tells seconds since the epoch: for answers without `created`, and Retry-After."""

    name = "openai"
    looks: Sequence[Request] = (
        Request("GET", "/v1/models", headers={"Accept": "application/json"}),
    )

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def request(self, call: ChatRequest, model: str) -> Request:
        """The client's own bytes, with the node's name of the model, and usage always asked."""
        accept = "text/event-stream" if call.stream else "application/json"
        headers = {"Content-Type": "application/json", "Accept": accept, "X-Request-Id": call.id}
        return Request("POST", "/v1/chat/completions", spliced(call, model), headers)

    def decoder(self, call: ChatRequest, model: str, head: Head) -> Decoder:
        seen = call.model or model
        if not call.stream:
            return PlainDecoder(seen)
        media = media_type(head)
        if media in ("text/html", "application/x-ndjson"):
            return NoStream(media)
        stream = StreamDecoder(seen, call.id, call.wants_usage, self._clock())
        return WholeAsStream(stream) if media == "application/json" else stream

    def refusal(self, head: Head, body: bytes) -> DplError:
        return refusal(head, body, self._clock())

    def read_models(self, bodies: Sequence[bytes | None]) -> Sequence[Listed]:
        body = bodies[0] or b""
        try:
            listed = MODELS.decode(body)
        except MALFORMED:
            said = complaint(body)
            raise UpstreamBroke(
                "its answer is no list of models" + (said and f": {said}")
            ) from None
        return [Listed(model.id) for model in listed.data or ()]


def media_type(head: Head) -> str:
    """In lower case, without parameters; empty where the node did not say."""
    return head.headers.get("content-type", "").partition(";")[0].strip().lower()


def spliced(call: ChatRequest, model: str) -> bytes:
    """The client's body with what must be otherwise; the very bytes where nothing must."""
    rename = call.model != model
    if not rename and (call.wants_usage or not call.stream):
        return call.body
    fields = FIELDS.decode(call.body)
    if rename:
        fields["model"] = raw(model)
    return msgspec.json.encode(streamed(fields) if call.stream else fields)


def as_stream(call: ChatRequest, model: str) -> ChatRequest:
    """`call` as a stream with usage from `model`, its body too: `spliced` sends that as it is.

    For a dialect that asks for plain answers so and puts them together (`Assembled`).
    """
    fields = FIELDS.decode(call.body)
    fields["model"] = raw(model)
    body = msgspec.json.encode(streamed(fields))
    return replace(call, model=model, body=body, stream=True, wants_usage=True)


def streamed(fields: Fields) -> Fields:
    """The same call as a stream with usage."""
    said = fields.get("stream_options", NULL)
    options = {} if bytes(said) == b"null" else FIELDS.decode(said)
    return {**fields, "stream": TRUE, "stream_options": raw({**options, "include_usage": TRUE})}


class Collected:
    """A body of at most 32 MiB that is read when it is whole; nothing is handed out before."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > PLAIN_LIMIT:
            raise UpstreamRefused("the node's answer is over 32 MiB", 200)
        self._parts.append(data)

    def answer(self) -> tuple[Whole, bytes]:
        """Raises: UpstreamRefused for whatever is no completion."""
        body = valid(b"".join(self._parts))
        self._parts.clear()
        try:
            whole, body = read_whole(body)
        except MALFORMED:
            raise UpstreamRefused(told("no chat completion", body), 200) from None
        if is_error(whole.error) or not whole.choices:
            raise UpstreamRefused(told("an error", body), 200)
        return whole, body


def read_whole(body: bytes) -> tuple[Whole, bytes]:
    try:
        return WHOLE.decode(body), body
    except MALFORMED:
        body = without_lone_surrogates(body)
        return WHOLE.decode(body), body


def told(what: str, body: bytes) -> str:
    said = complaint(body)
    return f"the node answered 200 with {what}" + (f": {said}" if said else "")


class PlainDecoder:
    """One piece at the end: Done, with the whole JSON as its bytes."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._body = Collected()

    def feed(self, data: bytes) -> Sequence[Piece]:
        self._body.add(data)
        return ()

    def end(self) -> Sequence[Piece]:
        whole, body = self._body.answer()
        if whole.model != self._model:
            body = msgspec.json.encode({**FIELDS.decode(body), "model": raw(self._model)})
        return [(done_of(whole), body)]


class WholeAsStream:
    """A plain answer where a stream was asked for becomes a stream of one chunk."""

    def __init__(self, stream: StreamDecoder) -> None:
        self._stream = stream
        self._body = Collected()

    def feed(self, data: bytes) -> Sequence[Piece]:
        self._body.add(data)
        return ()

    def end(self) -> Sequence[Piece]:
        whole, body = self._body.answer()
        top: Mapping[str, object] = FIELDS.decode(body)
        usage = {**top, "object": CHUNK_OBJECT, "choices": []}
        choices = [
            {"index": one.index, "delta": one.message, "finish_reason": one.finish_reason or "stop"}
            for one in whole.choices or ()
        ]
        chunk = {**top, "object": CHUNK_OBJECT, "choices": choices, "usage": None}
        pieces: list[Piece] = []
        self._stream.event(b"", msgspec.json.encode(chunk), pieces)
        if whole.usage is not None:
            self._stream.event(b"", msgspec.json.encode(usage), pieces)
        self._stream.event(b"", b"[DONE]", pieces)
        return pieces


class NoStream:
    """What is no stream of ours: a login page, or Ollama's own protocol."""

    def __init__(self, media: str) -> None:
        self._media = media

    def feed(self, data: bytes) -> Sequence[Piece]:
        return self.end()

    def end(self) -> Sequence[Piece]:
        raise UpstreamRefused(f"the node answered 200 with {self._media}, not a chat stream", 200)


def done_of(whole: Whole) -> Done:
    usage = whole.usage.told() if whole.usage else None
    timings = whole.timings.told() if whole.timings else None
    return Done((whole.choices or [])[0].finish_reason, usage, timings)
