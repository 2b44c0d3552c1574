"""What servers that keep models themselves are told: load, unload, pull, show. Ollama alone does.

Sources: Ollama's API documentation; recordings of 0.32.15 and 0.24.0.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from dpl_router.upstreams.base import Request
from dpl_router.upstreams.calls import JSON, SAID


class Keeping(Protocol):
    """`model` is the node's own name of it."""

    def loads(
        self, model: str, keep_alive: object | None, context: int | None
    ) -> Sequence[Request]:
        """Tried in order until one is not refused with a 400; `context` in tokens."""
        ...

    def unload(self, model: str) -> Request: ...

    def pull(self, model: str) -> Request:
        """Answered with lines of JSON, the last one `{"status":"success"}` or an `error`."""
        ...

    def show(self, model: str, verbose: bool) -> Request:
        """Answered with what Ollama's own /api/show tells; `verbose`: with the vocabulary."""
        ...


class OllamaKeeping:
    def loads(
        self, model: str, keep_alive: object | None, context: int | None
    ) -> Sequence[Request]:
        """Without a prompt nothing is written. A model that only embeds refuses /api/generate."""
        said: dict[str, Any] = {"model": model, "stream": False}
        if keep_alive is not None:
            said["keep_alive"] = keep_alive
        if context is not None:  # without it a loaded model would be loaded anew with the default
            said["options"] = {"num_ctx": context}
        return _post("/api/generate", said), _post("/api/embed", {**said, "input": []})

    def unload(self, model: str) -> Request:
        return _post("/api/generate", {"model": model, "keep_alive": 0, "stream": False})

    def pull(self, model: str) -> Request:
        return _post("/api/pull", {"model": model, "stream": True})

    def show(self, model: str, verbose: bool) -> Request:
        return _post("/api/show", {"model": model, "verbose": verbose})


def _post(path: str, said: Mapping[str, Any]) -> Request:
    return Request("POST", path, msgspec.json.encode(said), SAID[JSON])


KEEPING: Mapping[str, Keeping] = {"ollama": OllamaKeeping()}
"""By the name of the dialect that the node is spoken to in."""
