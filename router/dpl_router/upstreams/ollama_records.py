"""The shapes of Ollama's answers, as far as the router reads them, and the events in them.

Source: recordings of 0.32.15 and 0.24.0. `/api/chat` and `/api/generate` tell the same things under
two names; a stream's last record has `done: true` and alone tells counts and durations (ns).
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from dpl_router.conversation import Delta, Done, Event, Timings, ToolCall
from dpl_router.loose_json import FIELDS, raw
from dpl_router.upstreams import counts

NANOSECONDS = 1e9
CACHED_ABOVE = 10_000
"""Tokens of prompt a second: above this most were in the cache, and nothing is learned of speed
(the count has them all, recordings fact 36)."""


class FunctionPart(Struct):
    name: str = ""
    arguments: Raw | UnsetType = UNSET
    """An object; some servers that speak Ollama send it as text."""


class ToolPart(Struct):
    function: FunctionPart
    id: str | None = None


class MessagePart(Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[ToolPart] | None = None


class Record(Struct):
    """One line of a stream, or a whole plain answer."""

    model: str | None = None
    message: MessagePart | None = None
    response: str | None = None
    thinking: str | None = None
    """Of /api/generate; in a chat it lies in the message."""
    logprobs: list[Any] | None = None
    done: bool = False
    done_reason: str | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    error: Raw | UnsetType = UNSET

    def speaks(self) -> bool:
        """It says something of an answer."""
        return self.message is not None or self.response is not None or self.done


class Embedded(Struct):
    """Of /api/embed and, with one vector, the older /api/embeddings."""

    embeddings: list[Raw] | None = None
    embedding: Raw | UnsetType = UNSET
    model: str | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    error: Raw | UnsetType = UNSET


class Listing(Struct):
    """Of /api/tags and /api/ps; an entry is kept as it is."""

    models: list[dict[str, Any]] | None


RECORD = msgspec.json.Decoder(Record)
EMBEDDED = msgspec.json.Decoder(Embedded)
LISTING = msgspec.json.Decoder(Listing)


def events_of(record: Record, first_tool: int, cut: Callable[[int], bool]) -> list[Event]:
    """At least one; `Done.finish` in OpenAI's words (Ollama says `stop` of a tool call).

    `first_tool`: how many tool calls came before. `cut`: of so many tokens of
    prompt that were evaluated, whether the node had left out some."""
    message = record.message or MessagePart(record.response, record.thinking)
    text, thinking = message.content or "", message.thinking or ""
    events: list[Event] = []
    if text or thinking or record.logprobs:
        events.append(Delta(text, thinking, logprobs=record.logprobs))
    for place, tool in enumerate(message.tool_calls or (), first_tool):
        arguments = text_of(tool.function.arguments)
        events.append(ToolCall(place, tool.id or None, tool.function.name, arguments))
    if record.done:
        usage = counts.usage(record.prompt_eval_count, record.eval_count)
        usage.truncated = cut(usage.prompt_tokens or 0)
        called = first_tool or message.tool_calls
        finish = "tool_calls" if called and record.done_reason == "stop" else record.done_reason
        events.append(Done(finish, usage, timings_of(record)))
    return events or [Delta("")]


def text_of(said: Raw | UnsetType) -> str:
    """The JSON text of a tool call's arguments."""
    if said is UNSET or bytes(said) == b"null":
        return "{}"
    text = bytes(said).decode()
    if text.startswith('"'):
        inner: str = msgspec.json.decode(text)
        return inner or "{}"
    return text


def timings_of(record: Record) -> Timings:
    seconds = counts.seconds(record.prompt_eval_duration, NANOSECONDS)
    count = counts.tokens(record.prompt_eval_count)
    cached = count is not None and bool(seconds) and count / (seconds or 1.0) > CACHED_ABOVE
    return Timings(
        prompt_evaluated=None if cached else count,
        prompt_seconds=seconds,
        eval_tokens=counts.tokens(record.eval_count),
        eval_seconds=counts.seconds(record.eval_duration, NANOSECONDS),
        load_seconds=counts.seconds(record.load_duration, NANOSECONDS),
    )


class Echo:
    """A record's bytes for an Ollama client: as they came, but for the name that it used."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __call__(self, record: Record, line: bytes) -> bytes:
        if record.model is None or record.model == self._model:
            return line
        before = b'{"model":' + msgspec.json.encode(record.model) + b","
        if line.startswith(before):
            return b'{"model":' + msgspec.json.encode(self._model) + line[len(before) - 1 :]
        return msgspec.json.encode({**FIELDS.decode(line), "model": raw(self._model)})


class ChatEcho(Echo):
    """Also where /api/generate had to answer for /api/chat."""

    def __call__(self, record: Record, line: bytes) -> bytes:
        if record.message is None and record.response is not None:
            line = as_chat(record, line)
        return super().__call__(record, line)


def as_chat(record: Record, line: bytes) -> bytes:
    message = {"role": "assistant", "content": record.response}
    if record.thinking:
        message["thinking"] = record.thinking
    turned = {"response": ("message", raw(message))}
    fields = FIELDS.decode(line)
    kept = (turned.get(name, (name, said)) for name, said in fields.items() if name not in OWN)
    return msgspec.json.encode(dict(kept))


OWN = frozenset({"thinking", "context"})
"""What /api/generate tells and /api/chat does not, or elsewhere."""


def unworded(record: Record, line: bytes) -> bytes:
    """For a client of another protocol: its bytes are made of the events."""
    return b""
