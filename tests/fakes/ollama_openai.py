"""The OpenAI endpoints of a fake Ollama: translated into native calls and back."""

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.link import SSE
from tests.fakes.ollama_calls import Call, Word
from tests.fakes.ollama_go import GIGA, Fields, Refusal, read, written
from tests.fakes.ollama_voices import Said, Times, Voice, call_id, logprobs

PLAIN = "application/json"
TYPES = {400: "invalid_request_error", 404: "not_found_error"}
EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "ultra", "max", "none")
CHAT_FIELDS: Fields = {
    "model": "string",
    "messages": "[]openai.Message",
    "stream": "bool",
    "max_tokens": "int",
    "tools": "[]api.Tool",
}
TEXT_FIELDS: Fields = {
    "model": "string",
    "prompt": "string",
    "stream": "bool",
    "max_tokens": "int",
    "suffix": "string",
}


class Rejected(Refusal):
    """Found by the OpenAI layer itself: told in another shape than what a handler finds."""


def error_body(status: int, message: str) -> str:
    kind = TYPES.get(status, "api_error")
    return written({"error": {"message": message, "type": kind, "param": None, "code": None}})


def refused(refusal: Refusal) -> Said:
    body = error_body(refusal.status, refusal.message).encode()
    return Said(body) if isinstance(refusal, Rejected) else Said(body + b"\n", PLAIN)


def plain(said: Any) -> Said:
    return Said(f"{written(said)}\n".encode(), PLAIN)


def document(body: bytes, struct: str, fields: Fields) -> dict[str, Any]:
    """Raises: Rejected."""
    try:
        return read(body, struct, fields, nothing="EOF")
    except Refusal as refusal:
        raise Rejected(refusal.status, refusal.message) from None


def read_chat(body: bytes) -> dict[str, Any]:
    """The native document. Raises: Rejected."""
    asked = document(body, "openai.ChatCompletionRequest", CHAT_FIELDS)
    if not asked.get("messages"):
        raise Rejected(400, "[] is too short - 'messages'")
    native = _native(asked)
    native["messages"] = [_message(one) for one in asked["messages"]]
    effort = asked.get("reasoning_effort") or (asked.get("reasoning") or {}).get("effort")
    if effort is not None:
        native["think"] = _think(effort)
    if asked.get("tools"):
        native["tools"] = asked["tools"]
    form = asked.get("response_format") or {}
    if form.get("type") == "json_object":
        native["format"] = "json"
    if form.get("type") == "json_schema":
        native["format"] = form.get("json_schema", {}).get("schema")
    return native


def read_text(body: bytes) -> dict[str, Any]:
    """The native document. Raises: Rejected."""
    asked = document(body, "openai.CompletionRequest", TEXT_FIELDS)
    native = _native(asked) | {"prompt": asked.get("prompt") or "", "raw": False}
    for name in ("logprobs", "top_logprobs"):
        native.pop(name, None)
    if asked.get("suffix"):
        native["suffix"] = asked["suffix"]
    return native


def _native(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What both have in common. Of `keep_alive` and `options` it knows nothing."""
    options = {"num_predict": asked.get("max_tokens") or 0, "stop": asked.get("stop") or []}
    kept = {name: asked[name] for name in ("model", "logprobs", "top_logprobs") if name in asked}
    usage = (asked.get("stream_options") or {}).get("include_usage")
    return {**kept, "stream": bool(asked.get("stream")), "options": options, "usage": bool(usage)}


def _message(asked: Mapping[str, Any]) -> dict[str, Any]:
    content = asked.get("content")
    native: dict[str, Any] = {"role": asked.get("role"), "content": content or ""}
    if isinstance(content, list):
        native["content"] = "".join(part.get("text") or "" for part in content)
        native["images"] = [_image(part) for part in content if part.get("type") == "image_url"]
    elif content is None and not asked.get("tool_calls"):
        raise Rejected(400, "invalid message content type: <nil>")
    return native


def _image(part: Mapping[str, Any]) -> str:
    address = part["image_url"]["url"]
    if not address.startswith("data:"):
        said = "image URLs are not currently supported, please use base64 encoded data instead"
        raise Rejected(400, said)
    return str(address.partition(",")[2])


def _think(effort: str) -> bool | str:
    if effort not in EFFORTS:
        *most, last = (f'"{one}"' for one in EFFORTS)
        known = f"{', '.join(most)}, or {last}"
        raise Rejected(400, f"invalid reasoning value: {json.dumps(effort)} (must be {known})")
    return effort != "none"


class OpenAiVoice(Voice):
    """What /v1/chat/completions and /v1/completions have in common."""

    media = SSE
    prefix = ""

    def __init__(self, now: int, number: int) -> None:
        super().__init__(now)
        self._id = f"{self.prefix}-{number % 1000}"

    @abstractmethod
    def chunk(self, call: Call, choice: Mapping[str, Any]) -> dict[str, Any]: ...

    def refused(self, refusal: Refusal) -> Said:
        return refused(refusal)

    def last(self, call: Call, times: Times) -> bytes:
        events = [event(self.chunk(call, self._end(call)))]
        if call.document["usage"]:
            events.append(event(self.chunk(call, {}) | {"choices": []} | usage(call)))
        return b"".join([*events, b"data: [DONE]\n\n"])

    @abstractmethod
    def _end(self, call: Call) -> dict[str, Any]: ...

    def loaded(self, call: Call, reason: str) -> Said:
        call.reason, call.words, call.evaluated = reason, [], 0
        return self.whole(call, Times())


class OpenAiChatVoice(OpenAiVoice):
    """/v1/chat/completions."""

    prefix = "chatcmpl"

    def _top(self, call: Call, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self.now // GIGA,
            "model": call.name,
            "system_fingerprint": "fp_ollama",
        }

    def chunk(self, call: Call, choice: Mapping[str, Any]) -> dict[str, Any]:
        return self._top(call, "chat.completion.chunk") | {"choices": [choice]}

    def word(self, call: Call, word: Word, at: int) -> Sequence[bytes]:
        delta = spoken([word])
        if at:
            del delta["role"]
        choice = {"index": 0, "delta": delta, "finish_reason": None} | probabilities(call, [word])
        return [event(self.chunk(call, choice))]

    def _end(self, call: Call) -> dict[str, Any]:
        return {"index": 0, "delta": {}, "finish_reason": finish(call)}

    def died(self, call: Call) -> bytes:
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": None}
        return event(self.chunk(call, choice) | {"model": ""})

    def whole(self, call: Call, times: Times) -> Said:
        choice = {"index": 0, "message": spoken(call.words), "finish_reason": finish(call)}
        choices = [choice | probabilities(call, call.words)]
        return plain(self._top(call, "chat.completion") | {"choices": choices} | usage(call))


class OpenAiTextVoice(OpenAiVoice):
    """/v1/completions."""

    prefix = "cmpl"

    def chunk(self, call: Call, choice: Mapping[str, Any]) -> dict[str, Any]:
        said: dict[str, Any] = {
            "id": self._id,
            "object": "text_completion",
            "created": self.now // GIGA,
            "choices": [choice],
            "model": call.name,
            "system_fingerprint": "fp_ollama",
        }
        zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return said | ({"usage": zeros} if call.document["usage"] else {})

    def word(self, call: Call, word: Word, at: int) -> Sequence[bytes]:
        choice = {"text": word.text, "index": 0, "finish_reason": None}
        return [event(self.chunk(call, choice))]

    def _end(self, call: Call) -> dict[str, Any]:
        return {"text": "", "index": 0, "finish_reason": call.reason}

    def died(self, call: Call) -> bytes:
        choice = {"text": "", "index": 0, "finish_reason": None}
        return event(self.chunk(call, choice) | {"model": ""})

    def whole(self, call: Call, times: Times) -> Said:
        text = "".join(word.text for word in call.words)
        said = {
            "id": self._id,
            "object": "text_completion",
            "created": self.now // GIGA,
            "model": call.name,
            "system_fingerprint": "fp_ollama",
            "choices": [{"text": text, "index": 0, "finish_reason": call.reason}],
        }
        return plain(said | usage(call))


def event(said: Any) -> bytes:
    return f"data: {written(said)}\n\n".encode()


def finish(call: Call) -> str:
    return "tool_calls" if any(word.what == "call" for word in call.words) else call.reason


def usage(call: Call) -> dict[str, Any]:
    made = len(call.words)
    total = call.evaluated + made
    counts = {"prompt_tokens": call.evaluated, "completion_tokens": made, "total_tokens": total}
    return {"usage": counts}


def spoken(words: Sequence[Word]) -> dict[str, Any]:
    """A message or a delta."""
    text = "".join(word.text for word in words if word.what == "text")
    said: dict[str, Any] = {"role": "assistant", "content": text}
    if thinking := "".join(word.text for word in words if word.what == "thinking"):
        said["reasoning"] = thinking
    calls = [word for word in words if word.what == "call"]
    if calls:
        said["tool_calls"] = [
            {
                "id": call_id(word),
                "index": at,
                "type": "function",
                "function": {"name": word.name, "arguments": word.text},
            }
            for at, word in enumerate(calls)
        ]
    return said


def probabilities(call: Call, words: Sequence[Word]) -> dict[str, Any]:
    told = logprobs(call, words)
    return {"logprobs": {"content": told["logprobs"]}} if told else {}
