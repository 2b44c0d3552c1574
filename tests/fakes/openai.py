"""An OpenAI-speaking LLM server at the wire, with faults that a test can set.

It answers as llama.cpp's server does: /v1/chat/completions (stream and plain, usage, timings,
tools, n = 1), /v1/models, /health, /metrics, /slots, /props. It runs on a thread of its own, so
it serves sync and async tests alike; it needs only the standard library and httptools.

    with FakeOpenAi(model="tiny", tokens=["Hel", "lo"]) as node:
        node.url                        "http://127.0.0.1:PORT"
        node.faults = Faults(status=503, retry_after="7", times=1)
        node.heal()                     back to no faults
        node.requests                   every request: method, path, headers, body, at
        node.chats                      of those, the chat calls
        node.open                       generations running or waiting now
        node.finished, node.hang_ups    ended well; cut by the client (time.monotonic() each)
        node.connections, node.accepted open now; ever
        node.kill()                     like kill -9: resets all, refuses from now on
        node.revive()                   same port again

By itself: `python -m tests.fakes.openai --port 0` prints its url. Over HTTP: POST /fake/faults
(a JSON object with the fields of Faults) sets, DELETE /fake/faults heals, GET /fake/state tells.

How an answer is made: `tokens` (cut to the call's max_tokens; finish "length" then), one chunk
each, `Faults.token_delay` apart. A call with `tools` (and tool_choice not "none") gets one call
of the first tool, unless a tool has just answered. At most `slots` generate at once, the others
wait in order.
"""

import argparse
import asyncio
import contextlib
import threading
from collections.abc import Sequence

from tests.fakes.faults import Faults, Seen
from tests.fakes.openai_link import CHAT, OpenAiLink
from tests.fakes.server import FakeServer

__all__ = ["FakeOpenAi", "Faults", "Seen", "main"]


class FakeOpenAi(FakeServer):
    """The server. See the module's docstring."""

    link = OpenAiLink
    work = frozenset({CHAT})
    places: asyncio.Semaphore

    def __init__(
        self,
        *,
        model: str = "tiny",
        tokens: Sequence[str] = ("Hello", " from", " the", " fake", "."),
        slots: int = 4,
        port: int = 0,
        api_key: str = "",
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(slots=slots, port=port, host=host, api_key=api_key)
        self.model = model
        self.tokens = list(tokens)
        self._serial = 0

    def prepare(self) -> None:
        self.places = asyncio.Semaphore(self.slots)

    def next_id(self) -> str:
        self._serial += 1
        return f"chatcmpl-fake{self._serial:04d}"


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake OpenAI-speaking LLM server.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=5)
    parser.add_argument("--token-delay", type=float, default=0.0)
    options = parser.parse_args()
    words = ["word "] * options.tokens
    with FakeOpenAi(
        model=options.model, tokens=words, slots=options.slots, port=options.port
    ) as node:
        node.faults = Faults(token_delay=options.token_delay)
        print(node.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
