"""The listener: HTTP/1.1 on asyncio and httptools, an ASGI application behind it.

One thread and no hop between threads: what a request costs is its parse, one task and one write.
No HTTP/2, no WebSocket, no TLS: these are a proxy's work.

    listener = Listener(app)
    await listener.start(sock, backlog=1024)
    await listener.stop(grace=2.0)
"""

import asyncio
import socket
import time
from email.utils import formatdate

from dpl_router.front.connection import App, Connection
from dpl_router.front.exchange import REASONS, Exchange
from dpl_router.front.lifespan import Life
from dpl_router.front.limits import Limits
from dpl_router.outbox import Outbox


class Listener:
    outbox: Outbox
    """There from `start` on."""

    def __init__(self, app: App, limits: Limits | None = None) -> None:
        self.app = app
        self.limits = limits or Limits()
        self.closing = False
        self.now = time.monotonic()
        """A second old at most: connections tell the time by it."""
        self.running: set[Exchange] = set()
        self._connections: set[Connection] = set()
        self._prefixes: dict[int, bytes] = {}
        self._server: asyncio.Server | None = None
        self._looking: asyncio.Task[None] | None = None
        self._life = Life(app)

    async def start(self, sock: socket.socket, backlog: int) -> None:
        """Start the application, then listen. Raises: what the application's start raised."""
        loop = asyncio.get_running_loop()
        try:
            await self._life.start()
        except BaseException:
            sock.close()
            raise
        self.now = time.monotonic()
        self.outbox = Outbox(loop)
        self._looking = loop.create_task(self._look())
        self._server = await loop.create_server(
            lambda: Connection(self, loop), sock=sock, backlog=backlog
        )

    async def stop(self, grace: float) -> None:
        """Listen no more, let what runs end within `grace` seconds, then stop the application."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.finish()
        await self._ended(grace)
        self.outbox.flush()
        for connection in tuple(self._connections):
            connection.abort()
        if self._looking is not None:
            self._looking.cancel()
        await self._life.stop()

    async def _ended(self, grace: float) -> None:
        tasks = [one.task for one in self.running if one.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self.limits.look_seconds)
            self.now = time.monotonic()
            self._prefixes.clear()  # they hold the date
            for connection in tuple(self._connections):
                connection.look(self.now)

    # What a connection calls.

    def joined(self, connection: Connection) -> bool:
        welcome = not self.closing and len(self._connections) < self.limits.connections
        self._connections.add(connection)
        return welcome

    def parted(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def prefix(self, status: int) -> bytes:
        """The status line and the date."""
        known = self._prefixes.get(status)
        if known is None:
            date = formatdate(usegmt=True).encode()
            known = b"HTTP/1.1 %d %b\r\ndate: %b" % (status, REASONS.get(status, b""), date)
            self._prefixes[status] = known
        return known
