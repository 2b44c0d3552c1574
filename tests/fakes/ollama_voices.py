"""How a fake Ollama words its answers at /api/chat and /api/generate.

A voice knows one endpoint: the events of a stream, the whole answer, the errors.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.link import JSON, NDJSON
from tests.fakes.ollama_calls import Call, Word, arguments
from tests.fakes.ollama_go import Refusal, stamp, written

DIED = "an error was encountered while running the model: unexpected EOF"


@dataclass(frozen=True)
class Times:
    """Nanoseconds of one call, as its last line tells them."""

    load: int = 0
    waited: int = 0
    """For a place: in the total alone."""
    prompt: int = 0
    words: int = 0

    @property
    def total(self) -> int:
        return self.load + self.waited + self.prompt + self.words


@dataclass(frozen=True)
class Said:
    """A body and its content type."""

    body: bytes
    kind: str = JSON


class Voice(ABC):
    """`call` is None until the request has been read."""

    media = NDJSON

    def __init__(self, now: int) -> None:
        self.now = now
        """Nanoseconds since 1970; the server moves it on from word to word."""

    @abstractmethod
    def word(self, call: Call, word: Word, at: int) -> Sequence[bytes]:
        """The events for the word number `at`, each a chunk."""

    @abstractmethod
    def last(self, call: Call, times: Times) -> bytes:
        """The last chunk."""

    @abstractmethod
    def whole(self, call: Call, times: Times) -> Said:
        """The answer in one piece."""

    @abstractmethod
    def loaded(self, call: Call, reason: str) -> Said:
        """The answer to a call that only loads or unloads."""

    def died(self, call: Call) -> bytes:
        """The last chunk of a stream whose runner was killed."""
        return line({"error": DIED})

    def refused(self, refusal: Refusal) -> Said:
        return Said(written({"error": refusal.message}).encode())


class Native(Voice):
    """What /api/chat and /api/generate have in common."""

    def __init__(self, now: int, *, old: bool) -> None:
        super().__init__(now)
        self._old = old

    def _top(self, call: Call) -> dict[str, Any]:
        return {"model": call.name, "created_at": stamp(self.now)}

    def _counts(self, call: Call, times: Times) -> dict[str, Any]:
        counts = {
            "total_duration": times.total,
            "load_duration": times.load,
            "prompt_eval_count": call.evaluated,
            "prompt_eval_duration": times.prompt,
            "eval_count": len(call.words),
            "eval_duration": times.words if len(call.words) > 1 else 1000,
        }
        if self._old and len(call.words) < 2:
            del counts["eval_duration"]
        return counts


class ChatVoice(Native):
    """/api/chat."""

    def word(self, call: Call, word: Word, at: int) -> Sequence[bytes]:
        said = self._top(call) | {"message": message([word]), "done": False}
        return [line(said | logprobs(call, [word]))]

    def last(self, call: Call, times: Times) -> bytes:
        end = {"message": message([]), "done": True, "done_reason": call.reason}
        return line(self._top(call) | end | self._counts(call, times))

    def whole(self, call: Call, times: Times) -> Said:
        end = {"message": message(call.words), "done": True, "done_reason": call.reason}
        told = logprobs(call, call.words)
        return Said(written(self._top(call) | end | told | self._counts(call, times)).encode())

    def loaded(self, call: Call, reason: str) -> Said:
        end = {"message": message([]), "done": True, "done_reason": reason}
        return Said(written(self._top(call) | end).encode())


class GenerateVoice(Native):
    """/api/generate."""

    def word(self, call: Call, word: Word, at: int) -> Sequence[bytes]:
        said = self._top(call) | texts("response", [word]) | {"done": False}
        before = []
        if at == 0 and call.document.get("think") and word.what == "thinking":
            before = [line(self._top(call) | {"response": "", "done": False})]
        return [*before, line(said | logprobs(call, [word]))]

    def last(self, call: Call, times: Times) -> bytes:
        return line(self._top(call) | {"response": ""} | self._end(call, times))

    def whole(self, call: Call, times: Times) -> Said:
        said = self._top(call) | texts("response", call.words) | self._end(call, times)
        return Said(written(said | logprobs(call, call.words)).encode())

    def loaded(self, call: Call, reason: str) -> Said:
        end = {"response": "", "done": True, "done_reason": reason}
        return Said(written(self._top(call) | end).encode())

    def _end(self, call: Call, times: Times) -> dict[str, Any]:
        end: dict[str, Any] = {"done": True, "done_reason": call.reason}
        if not call.raw:
            before = call.document.get("context") or []
            new = range(1, call.evaluated + len(call.words) + 1)
            end["context"] = [*before, *new]
        return end | self._counts(call, times)


def line(said: Any) -> bytes:
    return f"{written(said)}\n".encode()


def texts(name: str, words: Sequence[Word]) -> dict[str, Any]:
    """The text under `name`, and the thinking where there is some."""
    said = {name: "".join(word.text for word in words if word.what == "text")}
    if thinking := "".join(word.text for word in words if word.what == "thinking"):
        said["thinking"] = thinking
    return said


def message(words: Sequence[Word]) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant"} | texts("content", words)
    calls = [word for word in words if word.what == "call"]
    if calls:
        said["tool_calls"] = [
            {
                "id": call_id(word),
                "function": {"index": at, "name": word.name, "arguments": arguments(word)},
            }
            for at, word in enumerate(calls)
        ]
    return said


def call_id(word: Word) -> str:
    return "call_" + hashlib.sha256(f"{word.name}{word.text}".encode()).hexdigest()[:8]


def logprobs(call: Call, words: Sequence[Word]) -> dict[str, Any]:
    """{} where none were asked for."""
    if call.top_logprobs is None:
        return {}
    return {"logprobs": [probable(word.text, call.top_logprobs) for word in words]}


def probable(text: str, top: int) -> dict[str, Any]:
    def entry(token: str, value: float) -> dict[str, Any]:
        return {"token": token, "logprob": value, "bytes": list(token.encode())}

    entries = [entry(text, -0.061), *(entry(f"x{at}", -4.7 - at) for at in range(1, top))]
    return entries[0] | ({"top_logprobs": entries[:top]} if top else {})
