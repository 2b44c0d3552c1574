"""Plain answers of OpenAI's chats: whole, as a stream of one chunk, and as events."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from dpl_router.conversation import Delta, Done, Piece, ToolCall
from dpl_router.errors import UpstreamRefused
from dpl_router.loose_json import FIELDS, MALFORMED, is_error
from dpl_router.upstreams.complaint import told_inside
from dpl_router.upstreams.openai_chunks import (
    MESSAGE,
    OUTLINE,
    WHOLE,
    Outline,
    Whole,
    WholeChoice,
    logprobs_of,
    text_of,
)
from dpl_router.upstreams.openai_mended import CHUNK_OBJECT
from dpl_router.upstreams.openai_stream import StreamDecoder
from dpl_router.upstreams.whole import AtTheEnd, Collected, echoed, told

Read = TypeVar("Read", Whole, Outline)


def completed(body: Collected, decode: Callable[[bytes], Read]) -> tuple[Read, bytes]:
    """Raises: UpstreamRefused for whatever is no completion."""
    whole, data = body.read(decode, "chat completion")
    if is_error(whole.error) or not whole.choices:
        raise told_inside(told("an error", data), data)
    return whole, data


class PlainDecoder(AtTheEnd):
    """One piece at the end: Done, with the whole JSON as its bytes."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model

    def end(self) -> Sequence[Piece]:
        whole, body = completed(self._body, OUTLINE.decode)
        return [(done_of(whole), echoed(body, whole.model, self._model))]


class PlainEvents(AtTheEnd):
    """The events of the first choice at the end, without bytes."""

    def end(self) -> Sequence[Piece]:
        whole, body = completed(self._body, WHOLE.decode)
        choice = (whole.choices or [])[0]
        try:
            message = MESSAGE.decode(msgspec.json.encode(choice.message))
        except MALFORMED:
            raise UpstreamRefused(told("no chat completion", body), 200) from None
        text, thinking = text_of(message.content)
        thinking += message.reasoning_content or message.reasoning or ""
        logprobs = logprobs_of(choice.logprobs)
        pieces: list[Piece] = [(Delta(text, thinking, logprobs=logprobs), None)]
        for place, tool in enumerate(message.tool_calls or ()):
            name = tool.function.name if tool.function else None
            arguments = (tool.function.arguments if tool.function else None) or ""
            pieces.append((ToolCall(place, tool.id, name, arguments), None))
        return [*pieces, (done_of(whole), None)]


class WholeAsStream(AtTheEnd):
    """A plain answer where a stream was asked for becomes a stream of one chunk."""

    def __init__(self, stream: StreamDecoder) -> None:
        super().__init__()
        self._stream = stream

    def end(self) -> Sequence[Piece]:
        whole, body = completed(self._body, WHOLE.decode)
        top: Mapping[str, object] = FIELDS.decode(body)
        usage = {**top, "object": CHUNK_OBJECT, "choices": []}
        choices = [as_chunk(one) for one in whole.choices or ()]
        chunk = {**top, "object": CHUNK_OBJECT, "choices": choices, "usage": None}
        pieces: list[Piece] = []
        self._stream.event(b"", msgspec.json.encode(chunk), pieces)
        if whole.usage is not None:
            self._stream.event(b"", msgspec.json.encode(usage), pieces)
        self._stream.event(b"", b"[DONE]", pieces)
        return pieces


def as_chunk(choice: WholeChoice) -> dict[str, Any]:
    logprobs = {} if choice.logprobs is None else {"logprobs": choice.logprobs}
    finish = choice.finish_reason or "stop"
    return {"index": choice.index, "delta": choice.message, "finish_reason": finish, **logprobs}


def done_of(whole: Whole | Outline) -> Done:
    usage = whole.usage.told() if whole.usage else None
    timings = whole.timings.told() if whole.timings else None
    return Done((whole.choices or [])[0].finish_reason, usage, timings)
