"""The shapes of OpenAI's chat answers, as far as the router reads them (`loose_json`)."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from dpl_router.conversation import Delta, Event, Timings, ToolCall, Usage
from dpl_router.loose_json import Fields
from dpl_router.upstreams import counts

MILLISECONDS = 1000.0


class FunctionPart(Struct):
    name: str | None = None
    arguments: str | None = None


class ToolPart(Struct):
    index: int | None = None
    id: str | None = None
    function: FunctionPart | None = None


class DeltaPart(Struct):
    """`content` may be a list (Mistral); reasoning goes by two names (vLLM renamed it)."""

    role: str | None = None
    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolPart] | None = None


class ChoicePart(Struct):
    index: int = 0
    delta: DeltaPart | None = None
    finish_reason: str | None = None
    logprobs: Any = None

    def says_nothing(self) -> bool:
        """OpenRouter's usage comes with a choice like that, after the finish reason."""
        said = self.delta or DeltaPart()
        words = said.content or said.reasoning_content or said.reasoning
        return not (words or said.tool_calls or self.finish_reason or self.logprobs)


class CachedPart(Struct):
    cached_tokens: int | None = None


class UsagePart(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: CachedPart | None = None

    def told(self) -> Usage:
        details = self.prompt_tokens_details
        cached = details.cached_tokens if details else None
        return counts.usage(self.prompt_tokens, self.completion_tokens, cached)


class TimingsPart(Struct):
    """llama.cpp's own: `prompt_n` leaves cached tokens out."""

    prompt_n: int | None = None
    prompt_ms: float | None = None
    predicted_n: int | None = None
    predicted_ms: float | None = None

    def told(self) -> Timings:
        return Timings(
            prompt_evaluated=counts.tokens(self.prompt_n),
            prompt_seconds=counts.seconds(self.prompt_ms, MILLISECONDS),
            eval_tokens=counts.tokens(self.predicted_n),
            eval_seconds=counts.seconds(self.predicted_ms, MILLISECONDS),
        )


class Chunk(Struct):
    """One event of a stream. `choices`: a missing or null list is not the same as an empty one."""

    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[ChoicePart] | None = None
    usage: UsagePart | None = None
    timings: TimingsPart | None = None
    error: Raw | UnsetType = UNSET


class WholeChoice(Struct):
    message: Fields
    index: int = 0
    finish_reason: str | None = None
    logprobs: Any = None


class Whole(Struct):
    """A plain answer."""

    choices: list[WholeChoice] | None = None
    model: str | None = None
    usage: UsagePart | None = None
    timings: TimingsPart | None = None
    error: Raw | UnsetType = UNSET


class OutlineMessage(Struct):
    """Only seen to be an object."""


class OutlineChoice(Struct):
    message: OutlineMessage
    finish_reason: str | None = None


class Outline(Struct):
    """Of a plain answer what must be known where its bytes are passed on."""

    choices: list[OutlineChoice] | None = None
    model: str | None = None
    usage: UsagePart | None = None
    timings: TimingsPart | None = None
    error: Raw | UnsetType = UNSET


class ListedPart(Struct):
    id: str
    owned_by: Any = None


class ModelList(Struct):
    """Ollama says `"data": null` where it has no model."""

    data: list[ListedPart] | None


CHUNK = msgspec.json.Decoder(Chunk)
WHOLE = msgspec.json.Decoder(Whole)
OUTLINE = msgspec.json.Decoder(Outline)
MESSAGE = msgspec.json.Decoder(DeltaPart)
"""Of a plain answer: it has the fields of a delta."""
MODELS = msgspec.json.Decoder(ModelList)


def owner(model: ListedPart) -> str:
    """Who made a model, or what serves it; empty where the list does not say."""
    return model.owned_by if isinstance(model.owned_by, str) else ""


def text_of(content: str | list[Any] | None) -> tuple[str, str]:
    """(text, thinking) of a delta's content, which may be a list of typed parts."""
    if content is None or isinstance(content, str):
        return content or "", ""
    text, thinking = "", ""
    for part in content:
        if not isinstance(part, dict):
            continue
        if isinstance(part.get("text"), str):
            text += part["text"]
        if isinstance(part.get("thinking"), list):
            thinking += text_of(part["thinking"])[0]
    return text, thinking


def events_of(part: ChoicePart, places: list[int]) -> list[Event]:
    """At least one; of a second choice only that it is there, for who counts."""
    delta = part.delta
    if delta is None or part.index != 0:
        return [Delta("")]
    text, thinking = text_of(delta.content)
    thinking += delta.reasoning_content or delta.reasoning or ""
    logprobs = None if part.logprobs is None else logprobs_of(part.logprobs)
    if not places:
        return [Delta(text, thinking, logprobs=logprobs)]
    events: list[Event] = (
        [Delta(text, thinking, logprobs=logprobs)] if text or thinking or logprobs else []
    )
    for tool, place in zip(delta.tool_calls or (), places, strict=True):
        name = tool.function.name if tool.function else None
        arguments = tool.function.arguments if tool.function else None
        events.append(ToolCall(place, tool.id or None, name or None, arguments or ""))
    return events


def logprobs_of(said: Any) -> list[Any] | None:
    """The tokens of a choice's `logprobs`, as chats tell them; /v1/completions of old has them in
    columns. None where there are none."""
    if not isinstance(said, dict):
        return None
    content, tokens = said.get("content"), said.get("tokens")
    if isinstance(content, list):
        return content or None
    if not isinstance(tokens, list):
        return None
    logprobs, tops = _column(said, "token_logprobs"), _column(said, "top_logprobs")
    return [
        {"token": token, "logprob": logprob, "top_logprobs": _pairs(top)}
        for token, logprob, top in zip(tokens, logprobs, tops or [None] * len(tokens), strict=False)
    ] or None


def _column(said: Mapping[str, Any], name: str) -> list[Any]:
    column = said.get(name)
    return column if isinstance(column, list) else []


def _pairs(top: Any) -> list[Any]:
    pairs = top.items() if isinstance(top, dict) else ()
    return [{"token": token, "logprob": logprob} for token, logprob in pairs]
