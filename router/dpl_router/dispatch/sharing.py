"""Work that is waited for: by many, and done once; or for as long as its client is there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from dpl_router.dispatch.wire import Gone
from dpl_router.errors import ClientGone

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


async def unless_gone(work: Awaitable[Made], gone: Gone) -> Made:
    """What `work` gives; it ends when the client leaves. Raises: ClientGone."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone("the client left before its answer")
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _run(work: Callable[[], Awaitable[Made]]) -> Made:
    return await work()
