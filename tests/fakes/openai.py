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
of the first tool. At most `slots` generate at once, the others wait in order.

A server that streams in another format: see `Link.framed`.
"""

import argparse
import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from types import TracebackType

from tests.fakes.openai_faults import CHAT, Faults, Seen, State
from tests.fakes.openai_link import Link

__all__ = ["FakeOpenAi", "Faults", "Seen", "main"]


class FakeOpenAi:
    """The server. See the module's docstring."""

    link: type[Link] = Link

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
        self.model = model
        self.tokens = list(tokens)
        self.slots = slots
        self.host = host
        self.port = port
        self.api_key = api_key
        self.faults = Faults()
        self.state = State()
        self._serial = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-openai", daemon=True)
        self._server: asyncio.Server | None = None
        self.links: set[Link] = set()
        self.places: asyncio.Semaphore

    def __enter__(self) -> "FakeOpenAi":
        self._thread.start()
        self.revive()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.kill()
        self._call(self._settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def requests(self) -> list[Seen]:
        return self.state.requests

    @property
    def chats(self) -> list[Seen]:
        return [seen for seen in self.requests if seen.path == CHAT]

    @property
    def open(self) -> int:
        return self.state.open

    @property
    def finished(self) -> list[float]:
        return self.state.finished

    @property
    def hang_ups(self) -> list[float]:
        return self.state.hang_ups

    @property
    def connections(self) -> int:
        return self.state.connections

    @property
    def accepted(self) -> int:
        return self.state.accepted

    def heal(self) -> None:
        self.faults = Faults()

    def kill(self) -> None:
        """All connections are reset and new ones refused, at once."""
        self._call(self._stop())

    def revive(self) -> None:
        self._call(self._start())

    def close_idle(self) -> None:
        """Close the connections that wait for a request, as servers do after some seconds."""
        self._call(self._close_idle())

    def take_faults(self, path: str) -> Faults:
        """The faults for one request; counts `times` down."""
        faults = self.faults
        if path != CHAT and not faults.everywhere:
            return Faults()
        if faults.times is not None:
            left = faults.times - 1
            kept = {**asdict(faults), "times": left}
            self.faults = Faults(**kept) if left > 0 else Faults()
        return faults

    def next_id(self) -> str:
        self._serial += 1
        return f"chatcmpl-fake{self._serial:04d}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, coroutine: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self) -> None:
        self.places = asyncio.Semaphore(self.slots)
        server = await self._loop.create_server(
            lambda: self.link(self), self.host, self.port, backlog=2048
        )
        self._server = server
        self.port = server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in tuple(self.links):
            link.reset()

    async def _close_idle(self) -> None:
        for link in tuple(self.links):
            link.close_if_idle()

    async def _settle(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake OpenAI-speaking LLM server.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--token-delay", type=float, default=0.0)
    options = parser.parse_args()
    with FakeOpenAi(model=options.model, slots=options.slots, port=options.port) as node:
        node.faults = Faults(token_delay=options.token_delay)
        print(node.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
