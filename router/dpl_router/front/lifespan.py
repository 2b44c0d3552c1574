"""The application's own start and end, as ASGI's lifespan has it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

App = Callable[[Any, Any, Any], Awaitable[None]]

STOP_SECONDS = 10.0


class Life:
    def __init__(self, app: App) -> None:
        self._app = app
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises: what the application raised, or RuntimeError with the words it sent."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self._task = asyncio.get_running_loop().create_task(
            self._app(scope, self._told.get, self._said.put)  # type: ignore[arg-type]
        )
        said = await self._ask("startup")
        if said is None or said["type"] != "lifespan.startup.complete":
            raise RuntimeError((said or {}).get("message") or "the application did not start")

    async def stop(self) -> None:
        """Raises: what the application raised."""
        if self._task is None or self._task.done():
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._ask("shutdown")
                await self._task
        except TimeoutError:
            self._task.cancel()

    async def _ask(self, step: str) -> dict[str, Any] | None:
        """What the application says to it; None where it ended without a word."""
        assert self._task is not None
        self._told.put_nowait({"type": f"lifespan.{step}"})
        word = asyncio.ensure_future(self._said.get())
        await asyncio.wait({word, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if word.done():
            return word.result()
        word.cancel()
        self._task.result()
        return None
