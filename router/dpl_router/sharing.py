"""Work that many wait for and that is done once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Made = TypeVar("Made")


class Shared(Generic[Key, Made]):
    """One task for each key, for as long as somebody waits: the last who leaves ends it."""

    def __init__(self) -> None:
        self._tasks: dict[Key, asyncio.Task[Made]] = {}
        self._waiting: dict[Key, int] = {}

    async def get(self, key: Key, work: Callable[[], Awaitable[Made]]) -> Made:
        """What the work under way makes, or `work` where there is none. Raises: what it raises."""
        task = self._tasks.get(key)
        if task is None or task.done():
            task = self._tasks[key] = asyncio.ensure_future(_run(work))
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
                if self._tasks.get(key) is task:
                    del self._tasks[key]
                task.cancel()


async def _run(work: Callable[[], Awaitable[Made]]) -> Made:
    return await work()
