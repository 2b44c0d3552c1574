"""Events as Ollama's answers: lines, or one JSON where the client wants no stream.

Durations are what the node tells, else what the clock showed; Ollama leaves none of them out.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from dpl_router.conversation import (
    ChatRequest,
    Delta,
    Done,
    Event,
    Failed,
    ToolCall,
    Usage,
    Vectors,
)
from dpl_router.loose_json import MALFORMED
from dpl_router.translation.openai_writer import merge
from dpl_router.translation.writer import Writer

encode = msgspec.json.encode
NANOSECONDS = 1_000_000_000
FINISHES = frozenset({"stop", "length", "load", "unload"})

Said = Callable[[Delta, Sequence[Mapping[str, Any]]], dict[str, Any]]
"""(a piece of the answer, whole tool calls) -> the fields of a record that tell them."""


def ollama_writer(call: ChatRequest, model: str, clock: Callable[[], float]) -> Writer:
    """For `call.api`. `model` is what the client sees; `clock` tells seconds since the epoch."""
    watch = Watch(clock, call.arrived)
    if call.api == "ollama.embeddings":
        return EmbeddingWriter()
    if call.api == "ollama.embed":
        return EmbedWriter(model, watch)
    said = in_generate if call.api == "ollama.generate" else in_chat
    return LinesWriter(model, watch, said) if call.stream else WholeWriter(model, watch, said)


def in_chat(delta: Delta, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": delta.text}
    if delta.thinking:
        message["thinking"] = delta.thinking
    if calls:
        message["tool_calls"] = calls
    return {"message": message}


def in_generate(delta: Delta, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    said: dict[str, Any] = {"response": delta.text}
    if delta.thinking:
        said["thinking"] = delta.thinking
    return said


class Watch:
    """When things happened; seconds since the epoch."""

    def __init__(self, clock: Callable[[], float], arrived: float) -> None:
        self._clock = clock
        self._arrived = arrived
        self._first: float | None = None

    def spoke(self) -> None:
        if self._first is None:
            self._first = self._clock()

    def stamp(self) -> str:
        """Now."""
        return moment(self._clock())

    def told(self, done: Done) -> dict[str, int]:
        """Counts and durations of the last record; a count that nobody knows is left out."""
        timings, usage, now = done.timings, done.usage or Usage(), self._clock()
        first = now if self._first is None else self._first
        told = {
            "total_duration": nanoseconds(now - self._arrived),
            "load_duration": nanoseconds((timings and timings.load_seconds) or 0.0),
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": nanoseconds(
                first - self._arrived
                if timings is None or timings.prompt_seconds is None
                else timings.prompt_seconds
            ),
            "eval_count": usage.completion_tokens,
            "eval_duration": nanoseconds(
                now - first
                if timings is None or timings.eval_seconds is None
                else timings.eval_seconds
            ),
        }
        return {name: value for name, value in told.items() if value is not None}


class LinesWriter:
    """A stream. Tool calls may come in turns, piece by piece: they are told at the end, whole."""

    def __init__(self, model: str, watch: Watch, said: Said) -> None:
        self._model = model
        self._watch = watch
        self._said = said
        self._calls: dict[int, ToolCall] = {}

    def write(self, event: Event) -> bytes:
        match event:
            case Delta(text="", thinking="", logprobs=None):
                return b""
            case Delta():
                self._watch.spoke()
                return self._line(event, ())
            case ToolCall():
                self._watch.spoke()
                merge(self._calls, event)
                return b""
            case Done():
                return self._last(event)
            case Vectors() | Failed():
                return b""

    def _line(self, delta: Delta, calls: Sequence[Mapping[str, Any]]) -> bytes:
        record = self._record(delta, calls)
        record["done"] = False
        if delta.logprobs is not None:
            record["logprobs"] = delta.logprobs
        return encode(record) + b"\n"

    def _last(self, done: Done) -> bytes:
        calls, rest = objects(self._calls)
        before = self._line(Delta(rest), calls) if calls or rest else b""
        record = self._record(Delta(""), ())
        record |= {"done": True, "done_reason": "length" if rest else reason(done)}
        return before + encode({**record, **self._watch.told(done)}) + b"\n"

    def _record(self, delta: Delta, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        stamp = self._watch.stamp()
        return {"model": self._model, "created_at": stamp, **self._said(delta, calls)}


class WholeWriter:
    """A plain answer."""

    def __init__(self, model: str, watch: Watch, said: Said) -> None:
        self._model = model
        self._watch = watch
        self._said = said
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._logprobs: list[Any] = []
        self._calls: dict[int, ToolCall] = {}

    def write(self, event: Event) -> bytes:
        match event:
            case Delta():
                if event.text or event.thinking:
                    self._watch.spoke()
                self._texts.append(event.text)
                self._thoughts.append(event.thinking)
                self._logprobs += event.logprobs or ()
            case ToolCall():
                merge(self._calls, event)
            case Done():
                return self._whole(event)
        return b""

    def _whole(self, done: Done) -> bytes:
        calls, rest = objects(self._calls)
        said = Delta("".join(self._texts) + rest, "".join(self._thoughts))
        stamp = self._watch.stamp()
        record = {"model": self._model, "created_at": stamp, **self._said(said, calls)}
        record |= {"done": True, "done_reason": "length" if rest else reason(done)}
        if self._logprobs:
            record["logprobs"] = self._logprobs
        return encode({**record, **self._watch.told(done)})


class EmbedWriter:
    def __init__(self, model: str, watch: Watch) -> None:
        self._model = model
        self._watch = watch
        self._vectors: Sequence[Sequence[float]] = ()

    def write(self, event: Event) -> bytes:
        match event:
            case Vectors():
                self._vectors = event.vectors
            case Done():
                told = self._watch.told(event)
                kept = ("total_duration", "load_duration", "prompt_eval_count")
                counts = {name: told[name] for name in kept if name in told}
                return encode({"model": self._model, "embeddings": self._vectors, **counts})
        return b""


class EmbeddingWriter:
    """As the older /api/embeddings: one vector and nothing else."""

    def __init__(self) -> None:
        self._vectors: Sequence[Sequence[float]] = ()

    def write(self, event: Event) -> bytes:
        match event:
            case Vectors():
                self._vectors = event.vectors
            case Done():
                return encode({"embedding": next(iter(self._vectors), ())})
        return b""


def objects(calls: Mapping[int, ToolCall]) -> tuple[list[dict[str, Any]], str]:
    """(tool calls with their arguments as objects, the text of those whose arguments are none).

    Arguments that a limit cut are no object: they are told as text, as a real Ollama does.
    """
    whole, rest = [], ""
    for index, call in sorted(calls.items()):
        try:
            arguments = msgspec.json.decode(call.arguments or "{}")
        except MALFORMED:
            arguments = None
        if not isinstance(arguments, dict):
            rest += call.arguments
            continue
        named = {"id": call.id} if call.id else {}
        function = {"index": index, "name": call.name or "", "arguments": arguments}
        whole.append({**named, "function": function})
    return whole, rest


def reason(done: Done) -> str:
    """Ollama says `stop` also where a tool was called."""
    return done.finish if done.finish in FINISHES and done.finish else "stop"


def moment(seconds: float) -> str:
    """Seconds since the epoch as Ollama writes a time (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def nanoseconds(seconds: float) -> int:
    return max(0, round(seconds * NANOSECONDS))
