"""Ollama's own protocol, for its own clients as it is and for OpenAI's in translation."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from dpl_router.conversation import Api, ChatRequest
from dpl_router.errors import DplError, RequestRefused
from dpl_router.listing import Listed
from dpl_router.loose_json import MALFORMED
from dpl_router.translation import openai_to_ollama
from dpl_router.translation.parts import Fields
from dpl_router.translation.prompt import as_generate
from dpl_router.translation.writer import Worded
from dpl_router.translation.writers import writer_for
from dpl_router.upstreams.base import Decoder, Head, Request
from dpl_router.upstreams.calls import JSON, NDJSON, SSE, body_of, media_type, post
from dpl_router.upstreams.complaint import complaint, refusal
from dpl_router.upstreams.ollama_context import Contexts, Prompt
from dpl_router.upstreams.ollama_listing import contexts_of, listed_of
from dpl_router.upstreams.ollama_records import ChatEcho, Echo, unworded
from dpl_router.upstreams.ollama_stream import (
    EmbedWhole,
    RecordStream,
    RecordWhole,
    VectorsWhole,
    Word,
)
from dpl_router.upstreams.opaque import opaque_decoder, opaque_request
from dpl_router.upstreams.whole import NoStream

THE_REQUESTS = re.compile(
    r"does not support|^invalid format|^option \"\w+\" must be|^template: |vector::_M_range_check"
)

PATHS: Mapping[Api, str] = {
    "openai.chat": "/api/chat",
    "openai.completion": "/api/generate",
    "openai.embedding": "/api/embed",
    "ollama.chat": "/api/chat",
    "ollama.generate": "/api/generate",
    "ollama.embed": "/api/embed",
    "ollama.embeddings": "/api/embeddings",
}
TRANSLATED: Mapping[Api, Callable[[Mapping[str, Any]], Fields]] = {
    "openai.chat": openai_to_ollama.chat,
    "openai.completion": openai_to_ollama.completion,
    "openai.embedding": openai_to_ollama.embedding,
}
EMBEDS = frozenset({"ollama.embed", "ollama.embeddings"})
CHATS = frozenset({"openai.chat", "ollama.chat"})
NO_SUCH_PATH = frozenset({404, 405, 501})


class OllamaDialect:
    """One for each node: it knows what is loaded there, with which context.

    `clock` tells seconds since the epoch.
    """

    name = "ollama"
    looks: Sequence[Request] = tuple(
        Request("GET", path, headers={"Accept": JSON}) for path in ("/api/tags", "/api/ps")
    )

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._contexts = Contexts()

    def request(self, call: ChatRequest, model: str) -> Request:
        if call.api == "opaque":
            return opaque_request(call, model)
        translate = TRANSLATED.get(call.api)
        if translate is None:
            body = self._contexts.native(call, model)
        else:
            body = self._contexts.translated(call, model, translate(body_of(call)))
        return post(call, PATHS[call.api], body, NDJSON if call.stream else JSON)

    def second(self, call: ChatRequest, model: str, head: Head, body: bytes) -> Request | None:
        """/api/generate, where there is no /api/chat (and not: no such model)."""
        if head.status not in NO_SUCH_PATH or call.api not in CHATS or says_why(body):
            return None
        chat = body_of(call)
        if call.api == "openai.chat":
            chat = openai_to_ollama.chat(chat)
        body = self._contexts.translated(call, model, as_generate(chat))
        return post(call, "/api/generate", body, NDJSON if call.stream else JSON)

    def decoder(self, call: ChatRequest, model: str, head: Head) -> Decoder:
        seen, media = call.model or model, media_type(head)
        if call.api == "opaque":
            return opaque_decoder(call, head)
        if media in ("text/html", SSE):
            return NoStream(media)
        if call.api in EMBEDS:
            return EmbedWhole(seen)
        if call.api == "openai.embedding":
            return Worded(VectorsWhole(), writer_for(call, seen, self._clock))
        if call.api in TRANSLATED or (media == NDJSON and not call.stream):
            reader = self._reader(call, model, media, unworded)
            return Worded(reader, writer_for(call, seen, self._clock))
        echo = ChatEcho(seen) if call.api == "ollama.chat" else Echo(seen)
        return self._reader(call, model, media, echo)

    def _reader(self, call: ChatRequest, model: str, media: str, word: Word) -> Decoder:
        cut = Prompt(call, model, self._contexts).cut
        if call.stream or media == NDJSON:
            return RecordStream(word, cut)
        return RecordWhole(word, cut)

    def refusal(self, head: Head, body: bytes) -> DplError:
        """Some 500s are the request's fault (recorded, 0.32.15): the node is not to be blamed."""
        if head.status in (500, 501) and (why := complaint(body)) and THE_REQUESTS.search(why):
            return RequestRefused(why, 400)
        return refusal(head, body, self._clock())

    def read_models(self, bodies: Sequence[bytes | None]) -> Sequence[Listed]:
        listed = listed_of(*bodies)
        if bodies[-1] is not None:
            self._contexts.learn(contexts_of(listed))
        return listed


def says_why(body: bytes) -> bool:
    """The error is Ollama's own: JSON with `error`; a missing path is told in plain text."""
    try:
        said = msgspec.json.decode(body)
    except MALFORMED:
        return False
    return isinstance(said, dict) and isinstance(said.get("error"), str)
