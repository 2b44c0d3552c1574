"""Calls that are passed on to their path unread: responses, messages, rerank, transcriptions.

The answer's bytes are the node's. What is checked is that it is one: no error with status 200, and
of a stream that its true end came; a clean HTTP end proves nothing (recordings fact 19).
"""

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from dpl_router.conversation import ChatRequest, Delta, Done, Piece, Usage
from dpl_router.errors import UpstreamBroke
from dpl_router.loose_json import MALFORMED, is_error
from dpl_router.scheduling.speed import TOKENS_MAX
from dpl_router.upstreams.base import Decoder, Head, Request
from dpl_router.upstreams.calls import ANY, JSON, SSE, media_type, post, renamed
from dpl_router.upstreams.complaint import complaint, told_inside
from dpl_router.upstreams.sse_answer import SseAnswer
from dpl_router.upstreams.whole import AtTheEnd, NoStream, told

ENDS = frozenset(
    {"message_stop", "response.completed", "response.incomplete", "transcript.text.done"}
)
"""Types of an event after which nothing comes, in the protocols that have no `[DONE]`."""
FAILURES = frozenset({"error", "response.failed"})

Known = TypeVar("Known")
Count = Annotated[int, Meta(ge=0, le=int(TOKENS_MAX))]


NONE = Raw(b"null")


class _Usage(Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class _Inner(Struct):
    usage: _Usage | None = None


class _Said(Struct):
    """What is read of an answer, or of one event of it; of what shape it is shows later."""

    type: Raw = NONE
    usage: Raw = NONE
    response: Raw = NONE
    message: Raw = NONE
    """Anthropic's first event has the answer so far in it, an error may have a text."""
    error: Raw = NONE

    def kind(self) -> str:
        return _known(self.type, str) or ""

    def failed(self) -> bool:
        return is_error(self.error)

    def counted(self, before: Usage | None = None) -> Usage | None:
        """With what was told `before`: Anthropic tells the prompt first and the rest last."""
        usage = _known(self.usage, _Usage)
        for place in (self.response, self.message):
            inner = _known(place, _Inner) if usage is None else None
            usage = inner.usage if inner else usage
        if usage is None or usage == _Usage():
            return before
        known = before or Usage()
        prompt = _first(usage.input_tokens, usage.prompt_tokens, known.prompt_tokens)
        written = _first(usage.output_tokens, usage.completion_tokens, known.completion_tokens)
        return Usage(prompt, written)


def _known(said: Raw, kind: type[Known]) -> Known | None:
    """None where it is of another shape: a path that we do not know may say what it likes."""
    try:
        return msgspec.json.decode(said, type=kind)
    except MALFORMED:
        return None


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)


_ANY = msgspec.json.Decoder(_Said | list[Raw] | str | int | float | bool | None)


def said_in(data: bytes) -> _Said:
    """Of what is no object, nothing. Raises: one of `MALFORMED`, where it is no JSON."""
    said = _ANY.decode(data)
    return said if isinstance(said, _Said) else _Said()


def opaque_request(call: ChatRequest, model: str) -> Request:
    json = call.content_type.partition(";")[0].strip().lower() == JSON
    body = renamed(call, model) if json else in_form(call, model)
    return post(call, call.path, body, SSE if call.stream else ANY)


def in_form(call: ChatRequest, model: str) -> bytes:
    """A multipart form with the node's name of the model in its field `model`."""
    if call.model == model or call.model_at is None:
        return call.body
    start, end = call.model_at
    return call.body[:start] + model.encode() + call.body[end:]


def opaque_decoder(call: ChatRequest, head: Head) -> Decoder:
    media = media_type(head)
    if media == "text/html":
        return NoStream(media)
    return OpaqueStream() if media == SSE else OpaqueWhole(media)


class OpaqueStream(SseAnswer):
    """Events as they came, each whole; comments, ids and retry times are left out."""

    def __init__(self) -> None:
        super().__init__()
        self._usage: Usage | None = None

    def event(self, name: bytes, payload: bytes, pieces: list[Piece]) -> None:
        lines = b"".join(b"data: " + line + b"\n" for line in payload.split(b"\n"))
        data = (b"event: " + name + b"\n" if name else b"") + lines + b"\n"
        if payload.strip() == b"[DONE]":
            self._end(data, pieces)
            return
        try:
            said = said_in(payload)
            self._usage = said.counted(self._usage)
        except MALFORMED:
            raise UpstreamBroke("an event of the node's stream is no JSON") from None
        kind = name.decode(errors="replace") or said.kind()
        if kind in FAILURES or said.failed():
            raise told_inside(complaint(payload) or "the node told an error", payload)
        if kind in ENDS:
            self._end(data, pieces)
        else:
            pieces.append((Delta("", events=int("delta" in kind)), data))

    def closed(self, pieces: list[Piece]) -> None:
        raise UpstreamBroke("the answer ended without its last word")

    def _end(self, data: bytes, pieces: list[Piece]) -> None:
        self._done = True
        pieces.append((Done(None, self._usage), data))


class OpaqueWhole(AtTheEnd):
    """One piece at the end: Done, with the body as its bytes, whatever it is."""

    def __init__(self, media: str) -> None:
        super().__init__()
        self._media = media

    def end(self) -> Sequence[Piece]:
        if self._media != JSON:
            return [(Done(None), self._body.taken())]
        said, body = self._body.read(said_in, "JSON")
        if said.failed():
            raise told_inside(told("an error", body), body)
        return [(Done(None, said.counted()), body)]
