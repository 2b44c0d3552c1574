"""One client's connection: bytes into requests, requests in turn to the application.

No timers and no task but the request's own; whoever is slow or silent is found by the listener's
look once a second. The end of what the client sends is taken as its leaving: a client that only
shuts down its sending half cannot be told from one that hung up, and what hung up must not keep a
node at work.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, cast

import structlog
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from dpl_router.errors import ClientGone
from dpl_router.front.exchange import Exchange
from dpl_router.front.head import Header, Refused, read_head, without_wish
from dpl_router.front.limits import Limits
from dpl_router.outbox import Outbox

App = Callable[[Any, Any, Any], Awaitable[None]]

log = structlog.get_logger()


class House(Protocol):
    """What the connections of one listener share."""

    app: App
    limits: Limits
    closing: bool
    now: float
    """Monotonic, a second old at most."""
    running: set[Exchange]
    outbox: Outbox

    def prefix(self, status: int) -> bytes: ...

    def joined(self, connection: "Connection") -> bool:
        """False where there are too many."""
        ...

    def parted(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """Its requests are served one after the other; those that come early wait."""

    _transport: asyncio.Transport
    """There from `connection_made` on, so before any other call."""
    write: Callable[[bytes], None]
    """Into the outbox that all connections share."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        self._house = house
        self.loop = loop
        self.limits = house.limits
        self.prefix = house.prefix
        self._parser = HttpRequestParser(self)
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._now: Exchange | None = None
        """The one that is being answered."""
        self._reading: Exchange | None = None
        """The one whose body is coming."""
        self._later: deque[Exchange] = deque()
        self._refusal = 0
        """The status that ends this connection when the answers before it are out."""
        self._parting = False
        """Our last word is out."""
        self._deaf = False
        """What comes is thrown away; only the client's leaving is still heard."""
        self._held = False
        self._unread = 0
        """Bytes of body that the application has not taken."""
        self._quiet = 0
        """Bytes since the last byte of body, or in this head; in whole pieces as they came."""
        self._piece = 0
        self._in_head = False
        self.since = house.now
        """Of what the look once a second watches: a head, a body, a parting, idleness."""
        self.clogged: asyncio.Future[None] | None = None
        self._left_to_write = 0
        self._stalled_since = 0.0
        self._url = b""
        self._headers: list[Header] = []
        self._table: dict[bytes, bytes] = {}
        """The same by name, the last of several."""

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.write = partial(self._house.outbox.put, self._transport)
        self._transport.set_write_buffer_limits(high=self.limits.write_ahead)
        client = transport.get_extra_info("peername")
        server = transport.get_extra_info("sockname")
        self._client = client[:2] if client else None
        self._server = server[:2] if server else None
        if not self._house.joined(self):
            self._refuse(503)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._piece = len(data)
        if self._in_head or self._reading is not None:
            self._quiet += self._piece
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as wish:
            self._hear_again(data[wish.args[0] :])
        except HttpParserError as error:
            cause = error.__context__  # what a call of the parser's to us has raised
            self._refuse(cause.status if isinstance(cause, Refused) else 400)
        if self._quiet > self.limits.head and (self._in_head or self._reading is not None):
            self._refuse(431)

    def _hear_again(self, rest: bytes) -> None:
        """A wish for another protocol (Java's client has one in each first request) may be ignored;
        llhttp takes what follows for that protocol, so it hears the head again without the wish.
        """
        method = self._parser.get_method()
        self._parser = HttpRequestParser(self)
        try:
            head = without_wish(method, self._url, self._headers)
        except Refused as refused:
            self._refuse(refused.status)
        else:
            self.data_received(head + rest)

    def eof_received(self) -> None:
        """The transport closes itself after this, when what is left to write has gone out."""
        if self._now is not None:
            self._transport.abort()
        self._house.outbox.flush()
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._house.parted(self)
        self._leave()
        self.resume_writing()

    def _leave(self) -> None:
        self._later.clear()
        if self._now is not None:
            self._now.leave()

    def pause_writing(self) -> None:
        self.clogged = self.loop.create_future()
        self._stalled_since = self._house.now
        self._left_to_write = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        clogged, self.clogged = self.clogged, None
        if clogged is not None and not clogged.done():
            clogged.set_result(None)

    # What the parser calls. What is raised here comes out of `feed_data`.

    def on_message_begin(self) -> None:
        self._in_head = True
        self._quiet = 0
        self._url, self._headers, self._table = b"", [], {}
        self.since = self._house.now

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._headers.append((name, value))
        self._table[name] = value

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._quiet + self._piece > self.limits.head and self._head_size() > self.limits.head:
            raise Refused(431)
        if self._parser.should_upgrade():
            return
        if len(self._later) >= self.limits.pipelined:
            raise Refused(503)
        scope, waits = read_head(self._parser, self._url, self._headers, self._table, self.limits)
        self._headers, self._table = [], {}  # for what are trailers
        keep = self._parser.should_keep_alive() and not self._house.closing
        exchange = Exchange(self, scope, keep, waits)
        scope["client"], scope["server"] = self._client, self._server
        scope["extensions"] = {"dpl.wire": exchange}
        self._reading = exchange
        self._quiet = 0
        if self._now is None:
            self._serve(exchange)
        else:
            self._later.append(exchange)

    def _head_size(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    def on_body(self, data: bytes) -> None:
        exchange = self._reading
        self.since = self._house.now
        self._quiet = 0
        if exchange is None or exchange.started:
            return
        exchange.add(data)
        self._unread += len(data)
        if self._unread > self.limits.read_ahead:
            self._hold()

    def on_message_complete(self) -> None:
        exchange, self._reading = self._reading, None
        if exchange is not None:
            exchange.complete()

    # What an exchange calls.

    def taken(self, size: int) -> None:
        self._unread -= size
        if self._held:
            self._read_on()

    def ended(self) -> None:
        """The next request's turn, or the end."""
        exchange, self._now = self._now, None
        assert exchange is not None
        self.since = self._house.now
        self._unread -= exchange.size
        if not exchange.keep:
            self._part(politely=not exchange.whole or self._reading is not None)
            return
        if self._held:
            self._read_on()
        if self._later:
            self._serve(self._later.popleft())
        elif self._refusal:
            self._say(self._refusal)

    # The turns.

    def _serve(self, exchange: Exchange) -> None:
        self._now = exchange
        self._house.running.add(exchange)
        # Named, and not by the loop: a third of what a task costs is to number it.
        exchange.task = asyncio.Task(self._run(exchange), loop=self.loop, name="request")

    async def _run(self, exchange: Exchange) -> None:
        sound = False
        try:
            await self._house.app(exchange.scope, exchange.receive, exchange.send)
            sound = True
        except ClientGone:
            sound = True  # it tried to send
        finally:
            if not sound and exchange.task is not None:
                exchange.task.add_done_callback(_tell)
            self._house.running.discard(exchange)
            exchange.part()
            if not exchange.ended:
                self._break_off(exchange)

    def _break_off(self, exchange: Exchange) -> None:
        """An answer without its end must not look like one that has it."""
        exchange.ended = True
        self._now = None
        if exchange.started or (exchange.gone and not self._refusal):
            self._house.outbox.flush()  # what was said before it broke
            self._transport.abort()
        else:
            self._say(self._refusal or 500)

    def _refuse(self, status: int) -> None:
        """This request and what follows it; answers that are owed before it go out first."""
        if self._parting or self._refusal:
            return
        self._refusal, self._deaf, self._in_head = status, True, False
        broken, self._reading = self._reading, None
        if self._now is None:
            self._say(status)
            return
        self._read_on()  # the client's leaving must be heard
        if broken is self._now:
            broken.leave()
        elif broken is not None:
            self._later.remove(broken)

    def _say(self, status: int) -> None:
        if not self._transport.is_closing():
            head = b"%b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % self.prefix(status)
            self.write(head)
            self._part(politely=True)

    def _part(self, *, politely: bool) -> None:
        """Close. A client that still sends would lose our answer to a reset: it is heard out."""
        self._later.clear()
        self._house.outbox.flush()
        if not politely or not self._transport.can_write_eof():
            self._transport.close()
        elif not self._parting and not self._transport.is_closing():
            self._parting, self._deaf, self.since = True, True, self._house.now
            self._transport.write_eof()
            self._read_on()

    def _hold(self) -> None:
        if not self._held and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if not self._held or self._transport.is_closing():
            return
        if self._deaf or self._unread <= self.limits.read_ahead:
            self._held = False
            self._transport.resume_reading()

    # What the listener calls.

    def look(self, now: float) -> None:
        """Close whoever took too long."""
        if self._stalled(now):
            self._transport.abort()
        elif self._parting:
            if now - self.since > self.limits.part_seconds:
                self._transport.abort()
        elif self._reading is not None:
            if not self._held and now - self.since > self.limits.body_seconds:
                self._refuse(408)
        elif self._in_head:
            if self._now is None and now - self.since > self.limits.head_seconds:
                self._transport.abort()
        elif self._now is None and now - self.since > self.limits.idle_seconds:
            self._transport.abort()

    def _stalled(self, now: float) -> bool:
        if self.clogged is None:
            return False
        left = self._transport.get_write_buffer_size()
        if left < self._left_to_write:
            self._stalled_since = now
        self._left_to_write = left
        return now - self._stalled_since > self.limits.stall_seconds

    def finish(self) -> None:
        """No further request: what is being answered is the last."""
        if self._now is not None:
            self._now.keep = False
        elif not self._parting:
            self._house.outbox.flush()
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


def _tell(done: asyncio.Task[None]) -> None:
    """A bug of the application, in the log once."""
    if not done.cancelled() and (bug := done.exception()) is not None:
        log.error("request failed", exc_info=bug)
