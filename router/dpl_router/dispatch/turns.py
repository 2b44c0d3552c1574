"""One future per held request: who waits in our own queue is woken when it may be its turn.

The order is the scheduler's; this only knows how to wait and how to wake.
"""

import asyncio
import time
from collections.abc import Iterable

from dpl_router.dispatch.wire import Gone
from dpl_router.errors import ClientGone, DplError


class Turns:
    """The held requests by id."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Future[None]] = {}

    async def wait(self, id_: str, gone: Gone, until: float) -> None:
        """Until woken, or the monotonic time `until`. Raises: ClientGone, or what `end` says."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[id_] = turn

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
            self.waiting.pop(id_, None)

    def end(self, error: DplError) -> None:
        """All who wait get `error`."""
        for turn in self.waiting.values():
            if not turn.done():
                turn.set_exception(error)

    def wake(self, ids: Iterable[str | None]) -> None:
        for id_ in ids:
            turn = self.waiting.get(id_ or "")
            if turn is not None and not turn.done():
                turn.set_result(None)
