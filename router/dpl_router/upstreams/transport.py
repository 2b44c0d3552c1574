"""The data path: pools of connections to nodes, and the one sweep that watches them.

    pool = NodePool(Origin.parse("http://10.0.0.5:8080"))
    sweeper.watch(pool)
    stream = pool.send(dialect.request(call, model), Timeouts())
    try:
        head = await stream.head()
        while await stream.more():
            pieces = decoder.feed(stream.take())
    finally:
        stream.close()

No redirects, no proxies from the environment, no decompression (we ask for identity).
"""

import asyncio
import ssl
from collections.abc import Mapping

from dpl_router.errors import UpstreamUnreachable
from dpl_router.outbox import Outbox
from dpl_router.upstreams.base import Request
from dpl_router.upstreams.connection import Connection, spoken
from dpl_router.upstreams.origin import Origin
from dpl_router.upstreams.stream import Limits, Timeouts, UpstreamStream

HEADS = 64
"""Kinds of requests whose lines are remembered."""

__all__ = ["Limits", "NodePool", "Origin", "Sweeper", "Timeouts", "UpstreamStream"]


class NodePool:
    """The connections to one node. LIFO, so that few are kept warm and the rest lapse.

    How many requests run at once is the caller's affair (the book's slots); `opened` and
    `reused` count connections made and requests that found one.
    """

    def __init__(
        self,
        origin: Origin,
        limits: Limits | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`headers`: what this node wants with every request (its own credential).

        `tls`: for https; None means the system's roots.
        """
        self.origin = origin
        self.opened = 0
        self.reused = 0
        self._limits = limits or Limits()
        fixed = {
            "Host": origin.authority,
            "User-Agent": "dpl-router",
            "Accept-Encoding": "identity",
            **(headers or {}),
        }
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._fixed_lines = len(fixed)
        self._tls = tls
        if origin.scheme == "https" and tls is None:
            self._tls = ssl.create_default_context()
        self._heads: dict[tuple[int, str, str], tuple[Mapping[str, str], str]] = {}
        """Lines of requests by the identity of their headers, which are kept beside them."""
        self._idle: list[Connection] = []
        self._active: set[UpstreamStream] = set()
        self._closed = False
        self._known_loop: asyncio.AbstractEventLoop | None = None
        self._outbox: Outbox | None = None

    @property
    def active(self) -> int:
        """Requests on their way; 0 once a removed node has drained."""
        return len(self._active)

    @property
    def idle(self) -> int:
        return len(self._idle)

    def send(self, request: Request, timeouts: Timeouts) -> UpstreamStream:
        """Start `request`; nothing is awaited, every failure comes out of the stream.

        Raises: ValueError for a header that would break out of its line.
        """
        loop = self._known_loop or self._loop()
        now = loop.time()
        wire = (self._head_bytes(request), request.body)
        stream = UpstreamStream(self, wire, timeouts, self._limits, loop, now)
        self._active.add(stream)
        connection = self._take_idle(now)
        if self._closed:
            stream.unreachable("the node was removed")
        elif connection is None:
            self.connect(stream)
        else:
            self.reused += 1
            stream.send(connection)
        return stream

    def sweep(self, now: float) -> None:
        """End what is late, let go of what was idle too long; `now` is the loop's time."""
        for stream in tuple(self._active):
            stream.check(now)
        for connection in tuple(self._idle):
            if now - connection.rested_at > self._limits.keep_seconds:
                self._idle.remove(connection)
                connection.abort()

    def close(self) -> None:
        """Abort everything, at once; whoever waits gets UpstreamUnreachable."""
        self._closed = True
        for stream in tuple(self._active):
            stream.abort(UpstreamUnreachable("the connection to the node was closed by us"))
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    # What streams and connections call.

    def connect(self, stream: UpstreamStream) -> None:
        stream.connecting(self._loop().create_task(self._open(stream)))

    def forget(self, stream: UpstreamStream) -> None:
        self._active.discard(stream)

    def rested(self, connection: Connection) -> None:
        if self._closed or len(self._idle) >= self._limits.keep:
            connection.abort()
            return
        loop = self._known_loop or self._loop()
        connection.rested_at = loop.time()
        self._idle.append(connection)

    def gone(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    # The rest.

    def _loop(self) -> asyncio.AbstractEventLoop:
        """Asked for once: asyncio makes sure of it by a system call each time."""
        if self._known_loop is None:
            self._known_loop = asyncio.get_running_loop()
        return self._known_loop

    def _take_idle(self, now: float) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable() and now - connection.rested_at <= self._limits.keep_seconds:
                return connection
            connection.abort()
        return None

    async def _open(self, stream: UpstreamStream) -> None:
        name = self.origin.host if self._tls is not None else None
        outbox = self._outbox = self._outbox or Outbox(self._loop())
        try:
            _, connection = await self._loop().create_connection(
                lambda: Connection(self, outbox, self._limits.head),
                self.origin.host,
                self.origin.port,
                ssl=self._tls,
                server_hostname=name,
            )
        except (OSError, UnicodeError) as error:
            stream.unreachable(f"connecting {spoken(error)}")
            return
        self.opened += 1
        stream.start(connection)

    def _head_bytes(self, request: Request) -> bytes:
        key = id(request.headers), request.method, request.path
        known = self._heads.get(key)
        if known is None or known[0] is not request.headers:
            known = request.headers, self._lines(request)
            if len(self._heads) >= HEADS:
                self._heads.clear()
            self._heads[key] = known
        text, id_ = known[1], request.id
        if id_:
            if not id_.isprintable():
                raise ValueError("the id of the request holds a line break")
            id_ = f"X-Request-Id: {id_}\r\n"
        if request.body or request.method != "GET":
            return f"{text}{id_}Content-Length: {len(request.body)}\r\n\r\n".encode("latin-1")
        return f"{text}{id_}\r\n".encode("latin-1")

    def _lines(self, request: Request) -> str:
        lines = 1 + self._fixed_lines + len(request.headers)
        text = f"{request.method} {self.origin.base}{request.path} HTTP/1.1\r\n{self._fixed}"
        for name, value in request.headers.items():
            text += f"{name}: {value}\r\n"
        if text.count("\n") != lines or text.count("\r") != lines:
            raise ValueError("a header of the request holds a line break")
        return text


class Sweeper:
    """One periodic look at every pool, instead of a timer for every request."""

    def __init__(self, interval: float = 1.0) -> None:
        """`interval`: seconds; a time-out is kept with this accuracy."""
        self._interval = interval
        self._pools: list[NodePool] = []

    def watch(self, pool: NodePool) -> None:
        self._pools.append(pool)

    def unwatch(self, pool: NodePool) -> None:
        if pool in self._pools:
            self._pools.remove(pool)

    async def run(self) -> None:
        """Until cancelled; a task of the application's own group."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._interval)
            now = loop.time()
            for pool in tuple(self._pools):
                pool.sweep(now)
