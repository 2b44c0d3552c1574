"""Events as OpenAI's answers. `data: [DONE]` is written by the surface."""

import secrets
import struct
from collections.abc import Mapping, Sequence
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
from dpl_router.errors import UpstreamRefused
from dpl_router.translation.writer import Writer

encode = msgspec.json.encode
FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


def openai_writer(call: ChatRequest, model: str, now: float) -> Writer:
    """For `call.api`. `model` is what the client sees; `now` is seconds since the epoch."""
    made = Made(call, model, now)
    match call.api:
        case "openai.embedding":
            return EmbeddingWriter(made)
        case "openai.completion" if call.stream:
            return CompletionStreamWriter(made)
        case "openai.completion":
            return CompletionWriter(made)
        case _ if call.stream:
            return ChatStreamWriter(made)
        case _:
            return ChatWriter(made)


class Made:
    """What every object of one answer repeats."""

    def __init__(self, call: ChatRequest, model: str, now: float) -> None:
        self.call = call
        self.model = model
        self.created = int(now)

    def top(self, kind: str, prefix: str) -> dict[str, Any]:
        """The first fields of an answer of this `object`, whose id begins with `prefix`."""
        return {
            "id": f"{prefix}-{self.call.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }

    def chunk(self, kind: str, prefix: str, choices: Any, **more: Any) -> bytes:
        top = self.top(kind, prefix)
        return b"data: " + encode({**top, "choices": choices, **more}) + b"\n\n"

    def usage_chunk(self, kind: str, prefix: str, usage: Usage | None) -> bytes:
        """Empty where the client wants none, or the node told none."""
        told = usage_of(usage)
        if not self.call.wants_usage or told is None:
            return b""
        return self.chunk(kind, prefix, [], usage=told)


class ChatStreamWriter:
    KIND = "chat.completion.chunk", "chatcmpl"

    def __init__(self, made: Made) -> None:
        self._made = made
        before = made.chunk(*self.KIND, [{"index": 0, "delta": {}}])
        self._before = before[: -len(b"{}}]}\n\n")]
        self._begun = False
        self._tools: set[int] = set()

    def write(self, event: Event) -> bytes:
        match event:
            case Delta():
                return self._delta(event)
            case ToolCall():
                return self._chunk({"tool_calls": [self._tool(event)]})
            case Done():
                last = self._chunk({}, finish=finish_of(event))
                return last + self._made.usage_chunk(*self.KIND, event.usage)
            case Vectors():
                raise no_text()
            case Failed():
                return b""

    def _delta(self, delta: Delta) -> bytes:
        said: dict[str, Any] = {}
        if delta.text or not (delta.thinking or self._begun):
            said["content"] = delta.text
        if delta.thinking:
            said["reasoning_content"] = delta.thinking
        if not said and not delta.logprobs:
            return b""
        return self._chunk(said, logprobs=delta.logprobs)

    def _tool(self, call: ToolCall) -> Mapping[str, Any]:
        function: dict[str, Any] = {"arguments": call.arguments}
        if call.index in self._tools:
            return {"index": call.index, "function": function}
        self._tools.add(call.index)
        function = {"name": call.name or "", **function}
        named = {"id": call.id or invented_id(), "type": "function", "function": function}
        return {"index": call.index, **named}

    def _chunk(
        self,
        delta: Mapping[str, Any],
        finish: str | None = None,
        logprobs: Sequence[Any] | None = None,
    ) -> bytes:
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", **delta}
        behind = b',"finish_reason":' + encode(finish) + b"}]}\n\n"
        if logprobs is not None:
            behind = b',"logprobs":' + encode({"content": logprobs}) + behind
        return self._before + encode(delta) + behind


class ChatWriter:
    def __init__(self, made: Made) -> None:
        self._made = made
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._logprobs: list[Any] = []
        self._tools: dict[int, ToolCall] = {}

    def write(self, event: Event) -> bytes:
        match event:
            case Delta():
                self._texts.append(event.text)
                self._thoughts.append(event.thinking)
                self._logprobs += event.logprobs or ()
                return b""
            case ToolCall():
                merge(self._tools, event)
                return b""
            case Done():
                return self._whole(event)
            case Vectors():
                raise no_text()
            case Failed():
                return b""

    def _whole(self, done: Done) -> bytes:
        text, thinking = "".join(self._texts), "".join(self._thoughts)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if thinking:
            message["reasoning_content"] = thinking
        if self._tools:
            message["content"] = text or None
            message["tool_calls"] = [_called(call) for _, call in sorted(self._tools.items())]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": {"content": self._logprobs} if self._logprobs else None,
            "finish_reason": finish_of(done),
        }
        top = self._made.top("chat.completion", "chatcmpl")
        return encode({**top, "choices": [choice], "usage": usage_of(done.usage)})


class CompletionStreamWriter:
    KIND = "text_completion", "cmpl"

    def __init__(self, made: Made) -> None:
        self._made = made
        self._offset = 0

    def write(self, event: Event) -> bytes:
        made = self._made
        match event:
            case Delta(text="", logprobs=None):
                return b""
            case Delta():
                told = legacy(event.logprobs, self._offset)
                self._offset += len(event.text)
                return made.chunk(*self.KIND, [_said(event.text, told, None)])
            case Done():
                last = made.chunk(*self.KIND, [_said("", None, finish_of(event))])
                return last + made.usage_chunk(*self.KIND, event.usage)
            case _:
                return b""


class CompletionWriter:
    def __init__(self, made: Made) -> None:
        self._made = made
        self._texts: list[str] = []
        self._logprobs: list[Any] = []

    def write(self, event: Event) -> bytes:
        match event:
            case Delta():
                self._texts.append(event.text)
                self._logprobs += event.logprobs or ()
            case Done():
                told = legacy(self._logprobs, 0)
                choice = _said("".join(self._texts), told, finish_of(event))
                top = self._made.top(*CompletionStreamWriter.KIND)
                return encode({**top, "choices": [choice], "usage": usage_of(event.usage)})
        return b""


class EmbeddingWriter:
    def __init__(self, made: Made) -> None:
        self._made = made
        body: Mapping[str, Any] = msgspec.json.decode(made.call.body)
        self._base64 = body.get("encoding_format") == "base64"
        self._data: list[dict[str, Any]] = []

    def write(self, event: Event) -> bytes:
        match event:
            case Vectors():
                self._data = [
                    {"object": "embedding", "embedding": self._spelt(vector), "index": place}
                    for place, vector in enumerate(event.vectors)
                ]
            case Done():
                count = (event.usage and event.usage.prompt_tokens) or 0
                usage = {"prompt_tokens": count, "total_tokens": count}
                return encode(
                    {"object": "list", "data": self._data, "model": self._made.model}
                    | {"usage": usage}
                )
        return b""

    def _spelt(self, vector: Sequence[float]) -> Any:
        """Base64 of little-endian 32-bit floats is what OpenAI's own clients ask for."""
        return struct.pack(f"<{len(vector)}f", *vector) if self._base64 else vector


def _said(text: str, logprobs: Any, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": logprobs, "finish_reason": finish}


def _called(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name or "", "arguments": call.arguments}
    return {"id": call.id or invented_id(), "type": "function", "function": function}


def merge(calls: dict[int, ToolCall], part: ToolCall) -> None:
    """Add a piece of a tool call to those that are known by their index."""
    known = calls.get(part.index)
    if known is None:
        calls[part.index] = ToolCall(part.index, part.id, part.name, part.arguments)
    else:
        known.id, known.name = known.id or part.id, known.name or part.name
        known.arguments += part.arguments


def invented_id() -> str:
    """Unlike any other: a conversation holds those of all its turns."""
    return f"call_{secrets.token_hex(4)}"


def finish_of(done: Done) -> str:
    return done.finish if done.finish in FINISHES and done.finish else "stop"


def usage_of(usage: Usage | None) -> dict[str, Any] | None:
    """None where the node counted nothing."""
    if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
        return None
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    counts: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
    counts["total_tokens"] = prompt + completion
    if usage.cached_tokens is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return counts


def legacy(logprobs: Sequence[Any] | None, offset: int) -> dict[str, Any] | None:
    """As /v1/completions tells them; `offset` is where their text begins in the answer."""
    if not logprobs:
        return None
    offsets = []
    for one in logprobs:
        offsets.append(offset)
        offset += len(one["token"])
    tops = [{t["token"]: t["logprob"] for t in one.get("top_logprobs") or ()} for one in logprobs]
    return {
        "tokens": [one["token"] for one in logprobs],
        "token_logprobs": [one["logprob"] for one in logprobs],
        "top_logprobs": tops if any(tops) else None,
        "text_offset": offsets,
    }


def no_text() -> UpstreamRefused:
    return UpstreamRefused("the node answered with embeddings where a text was asked for", 200)
