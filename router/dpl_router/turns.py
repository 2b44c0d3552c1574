"""One future per held request: who waits in our own queue is woken when it may be its turn.

The order is the scheduler's; this only knows how to wait and how to wake.
"""

import asyncio
import time
from collections.abc import Iterable

from dpl_router.attempt import Gone
from dpl_router.errors import ClientGone, DplError


class Turns:
    """The held requests by id."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def wait(self, id_: str, gone: Gone, until: float) -> None:
        """Until woken, or the monotonic time `until`. Raises: ClientGone, or what `end` says."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[id_] = turn

        def leave(_: Gone) -> None:
            if not turn.done():
                turn.set_exception(ClientGone("the client left while waiting for a node"))

        gone.add_done_callback(leave)
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await turn
        except TimeoutError:
            return
        finally:
            gone.remove_done_callback(leave)
            self._waiting.pop(id_, None)

    def end(self, error: DplError) -> None:
        """All who wait get `error`."""
        for turn in self._waiting.values():
            if not turn.done():
                turn.set_exception(error)

    def wake(self, ids: Iterable[str | None]) -> None:
        for id_ in ids:
            turn = self._waiting.get(id_ or "")
            if turn is not None and not turn.done():
                turn.set_result(None)
