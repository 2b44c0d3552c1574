"""What every fake LLM server has: a thread, a port, faults, and a memory of what came.

A server is a class below FakeServer with its own `link` (one connection: `tests.fakes.link`) and
`work`. See `tests.fakes.openai` for what a test sees of it.
"""

import asyncio
import json
import threading
from collections.abc import Coroutine
from dataclasses import asdict, fields
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.fakes.faults import Faults, Seen, State
from tests.fakes.link import Link


class FakeServer:
    """`api_key`: asked for where it is not empty."""

    link: ClassVar[type[Link[Any]]]
    work: frozenset[str]
    """The routes that make the model work: faults hit these, `chats` and `open` count them."""

    def __init__(self, *, slots: int, port: int, host: str, api_key: str = "") -> None:
        self.slots = slots
        self.host = host
        self.port = port
        self.api_key = api_key
        self.faults = Faults()
        self.state = State()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-server", daemon=True)
        self._server: asyncio.Server | None = None
        self.links: set[Link[Any]] = set()

    def __enter__(self) -> Self:
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
        return [seen for seen in self.requests if seen.route in self.work]

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
        self._call(self.stop())

    def revive(self) -> None:
        self._call(self._start())

    def close_idle(self) -> None:
        """Close the connections that wait for a request, as servers do after some seconds."""
        self._call(self._close_idle())

    def take_faults(self, route: str) -> Faults:
        """The faults for one request; counts `times` down."""
        faults = self.faults
        if route.startswith("/fake/") or (route not in self.work and not faults.everywhere):
            return Faults()
        if faults.times is not None:
            left = faults.times - 1
            kept = {**asdict(faults), "times": left}
            self.faults = Faults(**kept) if left > 0 else Faults()
        return faults

    def told(self) -> dict[str, Any]:
        """What /fake/state says."""
        state = self.state
        return {
            "open": state.open,
            "running": state.running,
            "finished": len(state.finished),
            "hang_ups": len(state.hang_ups),
            "requests": len(state.requests),
            "connections": state.connections,
            "faults": asdict(self.faults),
        }

    def control(self, seen: Seen) -> dict[str, Any] | None:
        """The answer to a call of the control plane; None: there is no such page."""
        if seen.route == "/fake/state":
            return self.told()
        if seen.route == "/fake/faults" and seen.method in ("POST", "DELETE"):
            known = {one.name for one in fields(Faults)}
            asked = json.loads(seen.body or b"{}") if seen.method == "POST" else {}
            self.faults = Faults(**{key: asked[key] for key in asked if key in known})
            return asdict(self.faults)
        return None

    def prepare(self) -> None:
        """Called on the server's own loop before it listens, also after a kill."""

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in tuple(self.links):
            link.reset()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, coroutine: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self) -> None:
        self.prepare()
        server = await self._loop.create_server(
            lambda: self.link(self), self.host, self.port, backlog=2048
        )
        self._server = server
        self.port = server.sockets[0].getsockname()[1]

    async def _close_idle(self) -> None:
        for link in tuple(self.links):
            link.close_if_idle()

    async def _settle(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
