"""Plain OpenAI answers put together out of a stream, as one waits for it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from dpl_router.conversation import Done, Piece
from dpl_router.errors import UpstreamBroke, UpstreamError, UpstreamRefused
from dpl_router.loose_json import FIELDS, MALFORMED, Fields, raw
from dpl_router.upstreams.base import Decoder
from dpl_router.upstreams.openai_completion import TextPart
from dpl_router.upstreams.whole import PLAIN_LIMIT

OBJECT = raw("chat.completion")
OF_STREAMS_ONLY = frozenset({"choices", "prompt_progress"})


class Part(Struct):
    """What one chunk says of one choice."""

    index: int = 0
    delta: dict[str, Any] = {}
    logprobs: dict[str, list[Raw] | None] | None = None
    finish_reason: str | None = None


PARTS = msgspec.json.Decoder(list[Part])
TEXT_PARTS = msgspec.json.Decoder(list[TextPart])


class Tool:
    """One tool call as its parts come; its arguments come in pieces, all else whole."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}
        self._name = ""
        self._arguments: list[str] = []

    def add(self, part: dict[str, Any]) -> None:
        function = part.get("function") or {}
        self._fields |= {key: said for key, said in part.items() if isinstance(said, str)}
        self._name = function.get("name") or self._name
        self._arguments.append(function.get("arguments") or "")

    def whole(self) -> dict[str, Any]:
        function = {"name": self._name, "arguments": "".join(self._arguments)}
        return {"type": "function", "function": function, **self._fields}


class Choice:
    """One choice as its parts come. A field of a delta is a text, by whatever name, or tools."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._tools: dict[int, Tool] = {}
        self._logprobs: dict[str, list[Raw]] = {}
        self._finish: str | None = None

    def add(self, part: Part) -> None:
        for key, said in part.delta.items():
            if isinstance(said, str):
                self._texts.setdefault(key, []).append(said)
        for tool in part.delta.get("tool_calls") or ():
            self._tools.setdefault(tool["index"], Tool()).add(tool)
        for key, tokens in (part.logprobs or {}).items():
            self._logprobs.setdefault(key, []).extend(tokens or ())
        self._finish = part.finish_reason or self._finish

    def whole(self, index: int) -> dict[str, Any]:
        said = {key: "".join(parts) for key, parts in self._texts.items()}
        message: dict[str, Any] = {"role": "assistant", "content": "", **said}
        if self._tools:
            message["tool_calls"] = [tool.whole() for _, tool in sorted(self._tools.items())]
        choice = {"finish_reason": self._finish, "index": index, "message": message}
        return {**choice, "logprobs": self._logprobs} if self._logprobs else choice


class Text:
    """One choice of a completion as its parts come."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._logprobs: dict[str, list[Any]] = {}
        self._finish: str | None = None

    def add(self, part: TextPart) -> None:
        self._texts.append(part.text or "")
        logprobs = part.logprobs if isinstance(part.logprobs, dict) else {}
        for key, tokens in logprobs.items():
            if isinstance(tokens, list):
                self._logprobs.setdefault(key, []).extend(tokens)
        self._finish = part.finish_reason or self._finish

    def whole(self, index: int) -> dict[str, Any]:
        logprobs = self._logprobs or None
        said = {"text": "".join(self._texts), "index": index, "logprobs": logprobs}
        return {**said, "finish_reason": self._finish}


class _Assembled(ABC):
    """The events of a stream as they come, without bytes; the whole JSON beside `Done`.

    `stream` decodes for a client that wants usage: what it hands out is one id, one `created`,
    the client's name of the model, tools with their index. Errors are those of `stream`, and
    UpstreamBroke where the answer is over 32 MiB.
    """

    def __init__(self, stream: Decoder) -> None:
        self._stream = stream
        self._top: Fields = {}
        self._handed_out = False
        self._size = 0

    @abstractmethod
    def parts(self, choices: Raw) -> None:
        """Take what a chunk says of each choice. Raises: one of `MALFORMED`."""

    @abstractmethod
    def choices(self) -> list[dict[str, Any]]:
        """In the order of their index."""

    @abstractmethod
    def object(self, said: Raw) -> Raw:
        """What a whole answer says of itself, whose chunks said `said`."""

    def feed(self, data: bytes) -> Sequence[Piece]:
        return self._all(self._stream.feed(data))

    def end(self) -> Sequence[Piece]:
        return self._all(self._stream.end())

    def _all(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        taken = [self._taken(piece) for piece in pieces]
        self._handed_out = self._handed_out or bool(taken)
        return taken

    def _taken(self, piece: Piece) -> Piece:
        event, data = piece
        for chunk in (data or b"").split(b"\n\n"):
            if chunk:
                self._add(FIELDS.decode(chunk.removeprefix(b"data: ")))
        return event, self._whole() if type(event) is Done else b""

    def _add(self, chunk: Fields) -> None:
        choices = chunk["choices"]
        self._size += len(bytes(choices))
        if self._size > PLAIN_LIMIT:
            raise UpstreamBroke("the node's answer is over 32 MiB")
        try:
            self.parts(choices)
        except MALFORMED:
            raise self._failure("a choice of the node's answer is none") from None
        for key, said in chunk.items():
            if key not in OF_STREAMS_ONLY and bytes(said) != b"null":
                self._top[key] = said

    def _whole(self) -> bytes:
        choices = self.choices()
        if not choices:
            raise self._failure("the node answered 200 without a choice")
        said = self._top.pop("object", OBJECT)
        return msgspec.json.encode({"choices": choices, **self._top, "object": self.object(said)})

    def _failure(self, message: str) -> UpstreamError:
        return UpstreamBroke(message) if self._handed_out else UpstreamRefused(message, 200)


class Assembled(_Assembled):
    """A chat."""

    def __init__(self, stream: Decoder) -> None:
        super().__init__(stream)
        self._choices: dict[int, Choice] = {}

    def parts(self, choices: Raw) -> None:
        for part in PARTS.decode(choices):
            self._choices.setdefault(part.index, Choice()).add(part)

    def choices(self) -> list[dict[str, Any]]:
        return [choice.whole(index) for index, choice in sorted(self._choices.items())]

    def object(self, said: Raw) -> Raw:
        return OBJECT


class AssembledText(_Assembled):
    """A completion."""

    def __init__(self, stream: Decoder) -> None:
        super().__init__(stream)
        self._texts: dict[int, Text] = {}

    def parts(self, choices: Raw) -> None:
        for part in TEXT_PARTS.decode(choices):
            self._texts.setdefault(part.index, Text()).add(part)

    def choices(self) -> list[dict[str, Any]]:
        return [text.whole(index) for index, text in sorted(self._texts.items())]

    def object(self, said: Raw) -> Raw:
        return said
