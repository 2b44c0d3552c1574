"""/v1/completions: texts without roles, as a stream, whole, and as events."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from dpl_router.conversation import Delta, Done, Piece, Timings, Usage
from dpl_router.errors import UpstreamBroke
from dpl_router.loose_json import (
    FIELD_LISTS,
    FIELDS,
    MALFORMED,
    NULL,
    Fields,
    is_error,
    raw,
    readable,
)
from dpl_router.upstreams.complaint import complaint, told_inside
from dpl_router.upstreams.openai_chunks import (
    TimingsPart,
    UsagePart,
    logprobs_of,
)
from dpl_router.upstreams.sse_answer import SseAnswer
from dpl_router.upstreams.whole import (
    AtTheEnd,
    Collected,
    echoed,
    told,
)


class TextPart(Struct):
    text: str | None = None
    index: int = 0
    finish_reason: str | None = None
    logprobs: Any = None

    def delta(self) -> Delta:
        """Of a second choice only that it is there, for who counts."""
        if self.index:
            return Delta("")
        return Delta(self.text or "", logprobs=logprobs_of(self.logprobs))


class Texts(Struct):
    """A chunk, and a whole answer."""

    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[TextPart] | None = None
    usage: UsagePart | None = None
    timings: TimingsPart | None = None
    error: Raw | UnsetType = UNSET

    def counted(self) -> tuple[Usage | None, Timings | None]:
        timings = self.timings.told() if self.timings else None
        return self.usage.told() if self.usage else None, timings


TEXTS = msgspec.json.Decoder(Texts)


class CompletionStream(SseAnswer):
    """As `openai_stream.StreamDecoder`, for completions: one id, the model name that the client
    used, one finish reason for each choice, usage where it is wanted and at the end only."""

    def __init__(self, model: str, request_id: str, wants_usage: bool, now: float) -> None:
        """`model`: the name that the client sees. `now`: seconds since the epoch."""
        super().__init__()
        self._model = model
        self._spare = (f"cmpl-{request_id}", int(now))
        self._wants_usage = wants_usage
        self._top: Fields = {}
        self._names: tuple[str, int | float] = ("", 0)
        self._held: dict[int, tuple[Delta, str, Fields]] = {}
        """The chunks with a finish reason wait for the true end (event, reason, chunk)."""
        self._seen: set[int] = set()
        self._usage: Raw | None = None
        self._counted: tuple[Usage | None, Timings | None] = (None, None)

    def event(self, name: bytes, payload: bytes, pieces: list[Piece]) -> None:
        if payload.strip() == b"[DONE]":
            if not self._finished() and self._usage is None:
                raise UpstreamBroke("the answer ended without a finish reason")
            self._finish(pieces)
            return
        try:
            chunk, payload = readable(TEXTS.decode, payload)
        except MALFORMED:
            raise UpstreamBroke("an event of the node's stream is no completion") from None
        if name == b"error" or is_error(chunk.error):
            raise told_inside(complaint(payload) or "the node told an error", payload)
        if chunk.choices is None and chunk.usage is None:
            raise told_inside(complaint(payload) or "an event says nothing", payload)
        self._chunk(chunk, FIELDS.decode(payload), payload, pieces)

    def closed(self, pieces: list[Piece]) -> None:
        if not self._finished():
            raise UpstreamBroke("the answer ended without its last word")
        self._finish(pieces)

    def _chunk(self, chunk: Texts, top: Fields, payload: bytes, pieces: list[Piece]) -> None:
        usage, timings = chunk.counted()
        if usage is not None:
            self._usage = top["usage"]
        self._counted = (usage or self._counted[0], timings or self._counted[1])
        if not self._names[0]:
            self._names = (chunk.id or self._spare[0], chunk.created or self._spare[1])
        foreign = (chunk.id, chunk.created, chunk.model) != (*self._names, self._model)
        top |= {"id": raw(self._names[0]), "created": raw(self._names[1])}
        top["model"] = raw(self._model)
        with_usage = top.pop("usage", None) is not None
        self._top = top
        parts = chunk.choices or []
        as_it_came = not foreign and not with_usage and len(parts) == 1
        for part, fields in zip(
            parts, FIELD_LISTS.decode(top.get("choices", NULL)) if parts else (), strict=True
        ):
            self._release(part.index, pieces)
            self._seen.add(part.index)
            if part.finish_reason:
                self._held[part.index] = (
                    part.delta(),
                    part.finish_reason,
                    {**top, "choices": raw([fields])},
                )
            elif as_it_came and part.finish_reason is None:
                pieces.append((part.delta(), b"data: " + payload.replace(b"\n", b" ") + b"\n\n"))
            else:
                fields["finish_reason"] = NULL
                pieces.append((part.delta(), framed({**top, "choices": raw([fields])})))

    def _release(self, index: int, pieces: list[Piece]) -> None:
        """The held chunk was not the last: it goes on without its finish reason."""
        if index in self._held:
            delta, _, top = self._held.pop(index)
            [fields] = FIELD_LISTS.decode(top["choices"])
            pieces.append(
                (delta, framed({**top, "choices": raw([{**fields, "finish_reason": NULL}])}))
            )

    def _finished(self) -> bool:
        return bool(self._seen) and self._seen == self._held.keys()

    def _finish(self, pieces: list[Piece]) -> None:
        for index in sorted(self._seen):
            if index in self._held:
                delta, _, top = self._held[index]
                pieces.append((delta, framed(top)))
            else:
                end = {"text": "", "index": index, "logprobs": None, "finish_reason": "stop"}
                pieces.append((Delta(""), framed({**self._top, "choices": raw([end])})))
        reasons = [self._held[index][1] for index in sorted(self._held)]
        last = b""
        if self._wants_usage and self._usage is not None:
            last = framed({**self._top, "choices": raw([]), "usage": self._usage})
        pieces.append((Done(next(iter(reasons), "stop"), *self._counted), last))
        self._done = True


def framed(chunk: Fields) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def completed(body: Collected) -> tuple[Texts, bytes]:
    """Raises: UpstreamRefused for whatever is no completion."""
    whole, data = body.read(TEXTS.decode, "completion")
    if is_error(whole.error) or not whole.choices:
        raise told_inside(told("an error", data), data)
    return whole, data


class CompletionWhole(AtTheEnd):
    """One piece at the end: Done, with the whole JSON as its bytes."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model

    def end(self) -> Sequence[Piece]:
        whole, body = completed(self._body)
        return [(done_of(whole), echoed(body, whole.model, self._model))]


class CompletionEvents(AtTheEnd):
    """The events of the first choice at the end, without bytes."""

    def end(self) -> Sequence[Piece]:
        whole, _ = completed(self._body)
        return [((whole.choices or [])[0].delta(), None), (done_of(whole), None)]


class CompletionAsStream(AtTheEnd):
    """A whole answer where a stream was asked for: it has the form of a chunk."""

    def __init__(self, stream: CompletionStream) -> None:
        super().__init__()
        self._stream = stream

    def end(self) -> Sequence[Piece]:
        _, body = completed(self._body)
        return self._stream.whole([(b"", body), (b"", b"[DONE]")])


def done_of(whole: Texts) -> Done:
    return Done((whole.choices or [])[0].finish_reason, *whole.counted())
