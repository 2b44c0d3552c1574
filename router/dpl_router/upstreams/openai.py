"""The OpenAI dialect: vLLM, SGLang, LM Studio and whoever says they speak it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from dpl_router.conversation import Api, ChatRequest
from dpl_router.errors import DplError, NoModelList
from dpl_router.listing import Listed
from dpl_router.loose_json import FIELDS, MALFORMED, NULL, Fields, raw
from dpl_router.translation import ollama_to_openai
from dpl_router.translation.parts import Fields as Plain
from dpl_router.translation.writer import Worded
from dpl_router.translation.writers import writer_for
from dpl_router.upstreams.base import Decoder, Head, Request
from dpl_router.upstreams.calls import JSON, NDJSON, SSE, body_of, media_type, post, renamed
from dpl_router.upstreams.complaint import complaint, refusal
from dpl_router.upstreams.ollama_context import never
from dpl_router.upstreams.ollama_records import unworded
from dpl_router.upstreams.ollama_stream import RecordStream
from dpl_router.upstreams.opaque import opaque_decoder, opaque_request
from dpl_router.upstreams.openai_chunks import (
    MODELS,
    owner,
)
from dpl_router.upstreams.openai_completion import (
    CompletionAsStream,
    CompletionEvents,
    CompletionStream,
    CompletionWhole,
)
from dpl_router.upstreams.openai_embedding import EmbeddingEvents, EmbeddingWhole
from dpl_router.upstreams.openai_plain import PlainDecoder, PlainEvents, WholeAsStream
from dpl_router.upstreams.openai_stream import (
    StreamDecoder,
)
from dpl_router.upstreams.whole import NoStream

TRUE = raw(True)
SERVE_WHAT_THEY_LIST = frozenset({"llamacpp", "vllm", "sglang"})
"""What these say in `owned_by`; LM Studio and others list models that they would load first."""
CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
PATHS: Mapping[Api, str] = {
    "openai.chat": CHAT,
    "openai.completion": COMPLETIONS,
    "openai.embedding": EMBEDDINGS,
    "ollama.chat": CHAT,
    "ollama.embed": EMBEDDINGS,
    "ollama.embeddings": EMBEDDINGS,
}
"""But `ollama.generate`, which goes by what it asks."""
EMBEDS = frozenset({"ollama.embed", "ollama.embeddings"})


class OpenAiDialect:
    """`clock` tells seconds since the epoch: for answers without `created`, and Retry-After."""

    name = "openai"
    looks: Sequence[Request] = (Request("GET", "/v1/models", headers={"Accept": JSON}),)

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def request(self, call: ChatRequest, model: str) -> Request:
        """The client's own bytes where it speaks OpenAI, with the node's name of the model, and
        usage always asked."""
        accept = SSE if call.stream else JSON
        match call.api:
            case "openai.chat" | "openai.completion":
                return post(call, PATHS[call.api], spliced(call, model), accept)
            case "openai.embedding":
                return post(call, EMBEDDINGS, renamed(call, model), accept)
            case "opaque":
                return opaque_request(call, model)
            case _:
                path, fields = translated(call)
                return post(call, path, encoded(call, model, fields), accept)

    def second(self, call: ChatRequest, model: str, head: Head, body: bytes) -> Request | None:
        return None

    def decoder(self, call: ChatRequest, model: str, head: Head) -> Decoder:
        seen, media = call.model or model, media_type(head)
        match call.api:
            case "opaque":
                return opaque_decoder(call, head)
            case "openai.chat":
                return self._chat(call, seen, media)
            case "openai.completion":
                return self._completion(call, seen, media)
            case "openai.embedding":
                return EmbeddingWhole(seen)
            case _:
                reader = self._reader(call, model, media)
                return Worded(reader, writer_for(call, seen, self._clock))

    def _chat(self, call: ChatRequest, seen: str, media: str) -> Decoder:
        if not call.stream and media != NDJSON:
            return PlainDecoder(seen)
        if media == "text/html":
            return NoStream(media)
        if media == NDJSON:  # Ollama's own protocol, come through a path that is none of its own
            reader = RecordStream(unworded, never)
            return Worded(reader, writer_for(call, seen, self._clock))
        stream = StreamDecoder(seen, call.id, call.wants_usage, self._clock())
        return WholeAsStream(stream) if media == JSON else stream

    def _completion(self, call: ChatRequest, seen: str, media: str) -> Decoder:
        if not call.stream:
            return CompletionWhole(seen)
        if media in ("text/html", NDJSON):
            return NoStream(media)
        stream = CompletionStream(seen, call.id, call.wants_usage, self._clock())
        return CompletionAsStream(stream) if media == JSON else stream

    def _reader(self, call: ChatRequest, model: str, media: str) -> Decoder:
        """The events of an answer to a client of Ollama's, in whichever form they come.

        By the node's own name of the model: its bytes are not kept, so none shall be changed.
        """
        if media == "text/html":
            return NoStream(media)
        if call.api in EMBEDS:
            return EmbeddingEvents()
        if media == NDJSON:
            return RecordStream(unworded, never)
        text = call.api == "ollama.generate" and ollama_to_openai.is_completion(body_of(call))
        if media == SSE:
            kind = CompletionStream if text else StreamDecoder
            return kind(model, call.id, False, self._clock())
        return CompletionEvents() if text else PlainEvents()

    def refusal(self, head: Head, body: bytes) -> DplError:
        return refusal(head, body, self._clock())

    def read_models(self, bodies: Sequence[bytes | None]) -> Sequence[Listed]:
        body = bodies[0] or b""
        try:
            listed = MODELS.decode(body)
        except MALFORMED:
            said = complaint(body)
            raise NoModelList("its answer is no list of models" + (said and f": {said}")) from None
        return [
            Listed(model.id, loaded=True if owner(model) in SERVE_WHAT_THEY_LIST else None)
            for model in listed.data or ()
        ]


def translated(call: ChatRequest) -> tuple[str, Plain]:
    """(path, body without `model` and `stream`) of a call of Ollama's. Raises: BadRequest."""
    body = body_of(call)
    if call.api == "ollama.generate":
        if ollama_to_openai.is_completion(body):
            return COMPLETIONS, ollama_to_openai.completion(body)
        return CHAT, ollama_to_openai.question(body)
    translate = ollama_to_openai.embedding if call.api in EMBEDS else ollama_to_openai.chat
    return PATHS[call.api], translate(body)


def encoded(call: ChatRequest, model: str, fields: Plain) -> bytes:
    if call.api in EMBEDS:
        return msgspec.json.encode({"model": model, **fields})
    asked: dict[str, Any] = {"model": model, **fields, "stream": call.stream}
    if call.stream:
        asked["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(asked)


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
