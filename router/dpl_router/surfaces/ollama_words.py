"""How Ollama says things: content types, the envelope of errors, what an unknown model is told."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from dpl_router.dispatch.refusals import cut
from dpl_router.errors import DplError, ModelUnknown
from dpl_router.surfaces.relay import Header

PATHS = frozenset(
    {
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/api/embeddings",
        "/api/tags",
        "/api/ps",
        "/api/show",
        "/api/version",
        "/api/pull",
        "/api/create",
        "/api/push",
        "/api/delete",
        "/api/copy",
    }
)
BLOBS = "/api/blobs/"

JSON: Sequence[Header] = ((b"content-type", b"application/json; charset=utf-8"),)
NDJSON: Sequence[Header] = (
    (b"content-type", b"application/x-ndjson"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
NOT_HERE = "model '{}' not found"


def error_body(error: DplError) -> bytes:
    """Ollama's envelope."""
    return msgspec.json.encode({"error": error.message})


def error_line(error: DplError) -> bytes:
    """A failure after the head has left: the last line, and none with `done`."""
    return error_body(error) + b"\n"


@contextmanager
def in_ollamas_words(model: str, words: str = NOT_HERE) -> Iterator[None]:
    """An unknown model is told as Ollama's clients look for it, then what looks like it."""
    try:
        yield
    except ModelUnknown as error:
        hint = f"; did you mean {', '.join(error.near)}?" if error.near else ""
        raise ModelUnknown(words.format(cut(model)) + hint, error.near) from error
