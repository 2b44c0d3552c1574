"""An Ollama at the wire, with faults that a test can set.

It answers as the recordings of a real Ollama do (tests/recordings/ollama; a test compares the
two): /api/chat, generate, embed, embeddings, tags, ps, show, pull, copy, delete, create (from a
model that is here), version; /v1/chat/completions, completions, embeddings, models. It is used
like its sibling `tests.fakes.openai`, with the same Faults and control plane:

    with FakeOllama(models=[Model("smol"), Model("bert", ("embedding",))]) as node:
        node.url, node.faults, node.heal(), node.requests, node.chats, node.open, node.finished,
        node.hang_ups, node.connections, node.accepted, node.kill(), node.revive()
        node.loads                      loads of a model so far
        node.loaded                     each of them: (name, num_ctx)
        node.shelf.models               what is installed; node.add(Model(...)) adds
        node.tokens, node.thinking      what it says; may be changed

`version="0.24.0"` answers as that one; everything else as 0.32.15. `without_chat=True`: a server
that only has /api/generate. By itself: `python -m tests.fakes.ollama --port 0` prints its url.

How an answer is made: `tokens`, one line each, cut to num_predict and at a stop word; before them
`thinking`, where the model thinks and think is not false; with `format` a small JSON value; with
tools one call of the first, in one piece, unless a tool has just answered. A token of a prompt is
a word. Times are told as if a token of the answer took 8 ms, one of the prompt 0.5 ms, a load at
least 0.5 s; only `load_seconds` and the delays of Faults are really waited.

At most `slots` generate at once on each loaded model, the others wait in order. Another num_ctx
than the loaded one starts the model anew once it is idle. /api/pull gets what is in `registry`
(None: no internet).
"""

import argparse
import contextlib
import threading
import time
from collections.abc import Callable, Sequence

from tests.fakes.faults import Faults, Seen
from tests.fakes.ollama_link import OllamaLink
from tests.fakes.ollama_models import Model, Shelf
from tests.fakes.server import FakeServer

__all__ = ["MODELS", "FakeOllama", "Faults", "Model", "Seen", "main"]

MODELS = (
    Model("smollm2:135m", weights="w135"),
    Model("smol-tools", ("completion", "tools"), weights="w135", parent="smollm2:135m"),
    Model("smol-think", ("completion", "thinking"), weights="w135", parent="smollm2:135m"),
    Model(
        "tiny-bert",
        ("embedding",),
        size=328_602,
        context=128,
        family="bert",
        parameter_size="80K",
        quantization="unknown",
        embedding=64,
    ),
)
WORK = frozenset(
    {
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/api/embeddings",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
    }
)


class FakeOllama(FakeServer):
    """The server. See the module's docstring. `model` alone: one that can also call tools."""

    link = OllamaLink
    work = WORK

    def __init__(
        self,
        *,
        model: str = "",
        models: Sequence[Model] = MODELS,
        tokens: Sequence[str] = ("Hello", " from", " the", " fake", "."),
        thinking: Sequence[str] = ("Let", " me", " think", "."),
        slots: int = 4,
        context: int = 4096,
        load_seconds: float = 0.0,
        keep_alive: float = 300.0,
        max_queue: int = 512,
        max_loaded: int = 3,
        version: str = "0.32.15",
        without_chat: bool = False,
        registry: Sequence[Model] | None = (),
        step_seconds: float = 0.0,
        clock: Callable[[], int] = time.time_ns,
        port: int = 0,
        api_key: str = "",
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(slots=slots, port=port, host=host, api_key=api_key)
        self.tokens = list(tokens)
        self.thinking = list(thinking)
        self.version = version
        self.without_chat = without_chat
        self.registry = registry
        self.step_seconds = step_seconds
        self.shelf = Shelf(
            models={},
            clock=clock,
            slots=slots,
            context=context,
            load_seconds=load_seconds,
            max_queue=max_queue,
            max_loaded=max_loaded,
            keep_alive=keep_alive,
        )
        self.shelf.add([Model(model, ("completion", "tools"))] if model else models)
        self._serial = 0
        if without_chat:
            self.work = WORK - {"/api/chat"}

    @property
    def modern(self) -> bool:
        """As 0.32.15 answers, not as 0.24.0."""
        return not self.version.startswith("0.24")

    @property
    def loads(self) -> int:
        return len(self.shelf.loaded)

    @property
    def loaded(self) -> list[tuple[str, int]]:
        return self.shelf.loaded

    def add(self, *models: Model) -> None:
        self.shelf.add(models)

    def told(self) -> dict[str, object]:
        return super().told() | {"loads": self.loads, "loaded": self.loaded}

    def next_number(self) -> int:
        self._serial += 1
        return self._serial

    def prepare(self) -> None:
        """After a kill nothing is loaded."""
        self.shelf.runners.clear()


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake Ollama.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default="", help="instead of the four usual ones")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--token-delay", type=float, default=0.0)
    parser.add_argument("--load-seconds", type=float, default=0.0)
    parser.add_argument("--version", default="0.32.15")
    options = parser.parse_args()
    with FakeOllama(
        model=options.model,
        slots=options.slots,
        port=options.port,
        load_seconds=options.load_seconds,
        version=options.version,
    ) as node:
        node.faults = Faults(token_delay=options.token_delay)
        print(node.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
