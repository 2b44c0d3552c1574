"""Chunks of an OpenAI stream, and what the decoder makes of them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from dpl_router.conversation import Event, Piece
from dpl_router.errors import DplError
from dpl_router.upstreams.openai_stream import StreamDecoder
from tests.fakes.taken import taken

DONE = b"data: [DONE]\n\n"


def decoder(*, model: str = "m", wants_usage: bool = True) -> StreamDecoder:
    return StreamDecoder(model, "r1", wants_usage, now=1234.5)


def chunk(
    delta: dict[str, Any] | None = None, finish: str | None = None, *, index: int = 0, **top: Any
) -> bytes:
    choice = {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish}
    return event({"id": "x", "created": 7, "model": "m", "choices": [choice], **top})


def event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def role(text: str = "") -> bytes:
    return chunk({"role": "assistant", "content": text})


def text(text: str) -> bytes:
    return chunk({"content": text})


def run(*parts: bytes, **how: Any) -> list[Piece]:
    reader = decoder(**how)
    pieces = [piece for part in parts for piece in taken(reader.feed(part))]
    return [*pieces, *taken(reader.end())]


def events(pieces: Sequence[Piece]) -> list[Event]:
    return [event for event, _ in pieces]


def seen(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    """The chunks as a client reads them."""
    stream = b"".join(raw or b"" for _, raw in pieces)
    return [json.loads(line[6:]) for line in stream.split(b"\n\n") if line]


def failure(*parts: bytes) -> DplError:
    with pytest.raises(DplError) as caught:
        run(*parts)
    return caught.value


def tool(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [fields]}
