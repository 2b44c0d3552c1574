"""Writes that leave together when a turn of the event loop is over.

uvloop writes at once, and what is written to a server or client on this machine wakes it: done one
by one between the requests of a turn, waking costs more than writing. Back to back the first write
wakes the reader and the others find it awake (a tenth of what a request costs).
"""

import asyncio

ENOUGH = 64 * 1024
"""Bytes that do not wait for the end of the turn: who writes in a loop must hear that its reader
does not keep up."""
MOST = 16
"""Writes that wait at most: of a burst of requests the first is with its node while the others are
still read."""


class Outbox:
    """In the order of `put`; what is for a transport that closed since then is dropped."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon = loop.call_soon
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._size = 0

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        if not self._waiting:
            self._call_soon(self.flush)
        self._waiting.append((transport, data))
        self._size += len(data)
        if self._size > ENOUGH or len(self._waiting) == MOST:
            self.flush()

    def flush(self) -> None:
        """Now. To be called before a transport's own `close` or `write_eof`."""
        waiting, self._waiting = self._waiting, []
        self._size = 0
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
