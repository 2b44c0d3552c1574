"""A request on its way and the answer as it comes: the async face of the transport.

Bytes that have arrived lie in a list until they are taken; whoever waits, waits on one future.
When the list is long the connection is paused, so a slow client slows the node and fills
nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from dpl_router.conversation import Piece
from dpl_router.errors import (
    ClientGone,
    DplError,
    UpstreamBroke,
    UpstreamError,
    UpstreamSilent,
    UpstreamUnreachable,
)
from dpl_router.loose_json import ODD
from dpl_router.upstreams.base import Head
from dpl_router.upstreams.calls import unreadable
from dpl_router.upstreams.connection import Connection

STALE_WITHIN = 1.0
"""Seconds. A reused connection that breaks so soon was closed before our request reached the
server; one that breaks later may have died of the request, which is not sent there again."""

LINGER = 2.0
"""Seconds that a node has after its answer's last word to end the HTTP message, too."""


class Timeouts(Struct):
    """Seconds; only read.

    `first_byte` runs from the send to the first byte of the body, head included.
    """

    connect: float = 2.0
    first_byte: float = 120.0
    idle: float = 30.0
    total: float = 1800.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes; `keep_seconds` is for how long an unused connection is kept, `keep` how many.

    llama.cpp and uvicorn (vLLM) close after 5 s without a request: we let go before that.
    """

    head: int = 64 * 1024
    plain_body: int = 32 * 1024 * 1024
    high_water: int = 256 * 1024
    keep: int = 64
    keep_seconds: float = 4.0


class Lines(Protocol):
    """What a stream asks of its pool."""

    def connect(self, stream: "UpstreamStream") -> None:
        """Open a fresh connection and start `stream` on it."""
        ...

    def forget(self, stream: "UpstreamStream") -> None: ...


class UpstreamStream:
    """One request and its answer.

    Errors: UpstreamUnreachable before the first byte of a body, UpstreamSilent where that byte
    took too long, UpstreamBroke after it. Bytes that came before a break are handed out first.
    Must be closed; `finish()` is the close of an answer whose last word was seen.
    """

    def __init__(
        self,
        lines: Lines,
        wire: tuple[bytes, bytes],
        timeouts: Timeouts,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        now: float,
    ) -> None:
        self._lines = lines
        self._wire = wire
        self._timeouts = timeouts
        self._limits = limits
        self._loop = loop
        self._started = self._connect_since = now
        # All of it here: Python finds what stands in the class only eight times as slowly.
        self.opening: asyncio.Task[None] | None = None
        """The task that connects; None on a connection that was there."""
        self._connection: Connection | None = None
        self._last_data: float | None = None
        self._finish_by: float | None = None
        self._sent_whole = self._over = self._held = False
        self.came: Head | None = None
        """The head, once it is here."""
        self._chunks: list[bytes] = []
        self._size = 0
        self._error: DplError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._feed: Callable[[bytes], Sequence[Piece]] | None = None
        self._pour: Callable[[Sequence[Piece]], None] | None = None

    # What dispatch calls.

    @property
    def timeouts(self) -> Timeouts:
        return self._timeouts

    async def head(self) -> Head:
        """The status line and the headers. Raises: DplError."""
        while self.came is None:
            await self.news()
        return self.came

    def news(self) -> asyncio.Future[None]:
        """To be awaited at once: until something has come. Raises: DplError, where nothing will."""
        if self._error is not None:
            raise self._error
        return self._wait()

    def take(self) -> bytes:
        """What has arrived since the last take; empty if nothing."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        if self._size > self._limits.high_water and self._connection is not None:
            self._last_data = self._loop.time()  # the pause was ours, not the node's silence
            self._connection.resume()
        self._size = 0
        return data

    async def more(self) -> bool:
        """True: there are bytes to take. False: the answer ended, and HTTP says it is whole."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._over:
                return False
            await self._wait()
        return True

    def whole(self) -> bool:
        """The answer has ended as HTTP wants it, and all of it was taken."""
        return self._over and not self._chunks and self._error is None

    def tap(
        self, feed: Callable[[bytes], Sequence[Piece]], pour: Callable[[Sequence[Piece]], None]
    ) -> None:
        """From now on what `feed` makes of the bytes is poured the moment they come, first of
        those that lie here.

        What either raises (a DplError, or `feed` one of `ODD`) ends the answer, and `over` tells.
        """
        self._feed, self._pour = feed, pour
        if data := self.take():
            self.data_came(data)

    def hold(self, until: asyncio.Future[None]) -> None:
        """Read nothing more until then: the client is slow."""
        if not self._held and self._connection is not None:
            self._held = True
            self._connection.pause()
            until.add_done_callback(self._go_on)

    def _go_on(self, _: asyncio.Future[None]) -> None:
        self._held = False
        self._last_data = self._loop.time()  # the pause was ours, not the node's silence
        if self._connection is not None:
            self._connection.resume()

    async def over(self) -> None:
        """With a tap: until `finish`, or the end that HTTP calls whole. Raises: DplError."""
        while not self._over and self._finish_by is None:
            await self._wait()
        if self._error is not None and self._finish_by is None:
            raise self._error

    async def read(self, limit: int | None = None) -> bytes:
        """A whole body of at most `limit` bytes (32 MiB). Raises: UpstreamBroke above."""
        most = self._limits.plain_body if limit is None else limit
        parts: list[bytes] = []
        size = 0
        while await self.more():
            parts.append(self.take())
            size += len(parts[-1])
            if size > most:
                error = UpstreamBroke(f"the node's answer is over {most} bytes")
                self.abort(error)
                raise error
        return b"".join(parts)

    async def read_start(self, limit: int) -> bytes:
        """The first `limit` bytes of a body, or all of it; what follows is hung up on."""
        parts: list[bytes] = []
        while sum(map(len, parts)) < limit and await self.more():
            parts.append(self.take())
        return b"".join(parts)[:limit]

    def abort(self, error: DplError | None = None) -> None:
        """Hang up at once: the node stops, and who waits here gets `error` (ClientGone)."""
        self._chunks = []
        error = error or ClientGone("the client hung up")
        if self._over:
            self._error = self._error or error
        else:
            self._stop(error)

    def close(self) -> None:
        """Idempotent. Aborts an answer that is neither whole nor finished."""
        if not self._over and self._finish_by is None:
            self.abort(UpstreamBroke("the answer was closed before its end"))

    def finish(self) -> None:
        """Close where the answer's own last word (`[DONE]`) was seen.

        The end of the HTTP message often comes a packet later: the connection is kept if it
        comes soon, and dropped if it does not. Nobody waits for it.
        """
        if not self._over and self._finish_by is None:
            self._chunks = []
            self._size = 0
            self._finish_by = self._loop.time() + LINGER
            self._wake()
            if self._connection is not None:
                self._connection.resume()

    # What the pool calls.

    def connecting(self, task: asyncio.Task[None]) -> None:
        self._connect_since = self._loop.time()
        self.opening = task

    def start(self, connection: Connection) -> None:
        self.opening = None
        if self._over:
            connection.abort()
            return
        if not connection.usable():
            self.unreachable("the connection was closed by the node at once")
            return
        self.send(connection)

    def send(self, connection: Connection) -> None:
        """On a connection that is known to be open."""
        self._connection = connection
        head, body = self._wire
        connection.send(head, body, self)

    def unreachable(self, reason: str) -> None:
        self.opening = None
        self._stop(self._unreached(reason))

    def check(self, now: float) -> None:
        """End what took too long; called by the sweep."""
        error = self._late(now)
        if error is not None:
            self._stop(error)

    def _late(self, now: float) -> UpstreamError | None:
        times = self._timeouts
        if self._finish_by is not None:
            late = now > self._finish_by
            return UpstreamBroke("the node did not end its answer") if late else None
        if self._connection is None and now - self._connect_since > times.connect:
            return self._unreached(f"connecting took more than {times.connect:g} s")
        budget = min(times.first_byte, times.total)
        if self._last_data is None:
            late = now - self._started > budget
            return UpstreamSilent(f"no first word within {budget:g} s") if late else None
        if now - self._started > times.total:
            return UpstreamBroke(f"the answer took more than {times.total:g} s")
        ours = self._held or self._size > self._limits.high_water
        if not ours and now - self._last_data > times.idle:
            return UpstreamBroke(f"the answer stalled for more than {times.idle:g} s")
        return None

    # The sink.

    def head_came(self, status: int, headers: Mapping[str, str]) -> None:
        self.came = Head(status, headers)
        if self._waiter is not None:
            self._wake()

    def data_came(self, data: bytes) -> None:
        self._last_data = self._loop.time()
        if self._finish_by is not None:
            return
        feed, pour = self._feed, self._pour
        if feed is not None and pour is not None:
            try:
                try:
                    pieces = feed(data)
                except ODD as error:
                    raise unreadable(error) from error
                pour(pieces)
            except DplError as error:
                self._stop(error)
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > self._limits.high_water and self._connection is not None:
            self._connection.pause()
        if self._waiter is not None:
            self._wake()

    def ended(self) -> None:
        self._connection = None
        self._over = True
        self._lines.forget(self)
        if self._waiter is not None:
            self._wake()

    def lost(self, reason: str) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        self._sent_whole = self._sent_whole or connection.sent_whole
        if self._was_stale(connection):
            self._lines.connect(self)
        elif self._last_data is None:
            self._stop(self._unreached(f"{reason}, before an answer"))
        else:
            self._stop(UpstreamBroke(f"{reason}, in the middle of an answer"))

    def garbled(self, reason: str) -> None:
        self._connection = None
        unheard = self._last_data is None
        self._stop(UpstreamUnreachable(reason) if unheard else UpstreamBroke(reason))

    def _was_stale(self, connection: Connection) -> bool:
        quick = self._loop.time() - self._started < STALE_WITHIN
        return connection.reused and not connection.heard and quick

    # The rest.

    def _stop(self, error: DplError) -> None:
        self._over = True
        self._error = error
        if self.opening is not None:
            self.opening.cancel()
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        self._lines.forget(self)
        self._wake()

    def _unreached(self, reason: str) -> UpstreamUnreachable:
        return UpstreamUnreachable(reason, sent_whole=self._sent_whole)

    def _wait(self) -> asyncio.Future[None]:
        """To be awaited at once."""
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
