"""One HTTP/1.1 connection to a node, push-style: bytes come in, a sink is told.

No awaits, no tasks, no timers: what costs something per event is not here. One exchange at a
time; whatever a node says unasked (a second answer, bytes after the end) costs it the
connection and nobody else anything.
"""

import asyncio
import os
import socket
import ssl
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from dpl_router.outbox import Outbox

BIG_BODY = 64 * 1024
"""Bytes; from here on a request's body is not copied behind its head, and leaves at once."""


class Sink(Protocol):
    """Whom a connection tells about the answer to one request."""

    def head_came(self, status: int, headers: dict[str, str]) -> None: ...

    def data_came(self, data: bytes) -> None: ...

    def ended(self) -> None:
        """The answer is whole; the connection is no longer this sink's."""
        ...

    def lost(self, reason: str) -> None:
        """The connection broke. `reason` is ours and holds nothing of the node's bytes."""
        ...

    def garbled(self, reason: str) -> None:
        """What came is no answer; the connection was aborted."""
        ...


class Keeper(Protocol):
    """Who keeps a connection while nobody uses it."""

    def rested(self, connection: "Connection") -> None:
        """An answer is whole and the connection can carry another one."""
        ...

    def gone(self, connection: "Connection") -> None:
        """It closed while nobody used it."""
        ...


class Connection(asyncio.Protocol):
    """Carries requests one after the other.

    `heard`: a byte of this answer has come. `sent_whole`: the request has left this process (a
    small one is taken to, since the system has room for it).
    `reused`: this is not the first request.
    """

    _transport: asyncio.Transport
    """There from `connection_made` on, so before any other call."""

    def __init__(self, keeper: Keeper, outbox: Outbox, quiet_limit: int) -> None:
        """`quiet_limit`: bytes that may come without a byte of body (heads, trailers)."""
        self._keeper = keeper
        self._outbox = outbox
        self._quiet_limit = quiet_limit
        self._bodies: list[bytes] = []
        """Of the piece that is being read: told as one, however many chunks it was."""
        self.on_body = self._bodies.append  # what the parser calls: no frame of ours per chunk
        self._parser = HttpResponseParser(self)
        self._feed = self._parser.feed_data
        self._sink: Sink | None = None
        self._paused = False
        self.reused = False
        self.rested_at = 0.0
        self.heard = False
        self.sent_whole = True
        self._headers: dict[str, str] = {}
        self._lines: list[tuple[bytes, bytes]] = []
        self._status = 0
        self._whole = False
        self._keep_alive = False
        self._quiet = 0
        self._last = 0
        """How many bodies of the piece are of this answer, once it is whole."""

    # What the pool and the stream call.

    def usable(self) -> bool:
        return not self._transport.is_closing()

    def send(self, head: bytes, body: bytes, sink: Sink) -> None:
        self._sink = sink
        if len(body) < BIG_BODY:
            self._outbox.put(self._transport, head + body)
        else:
            # With marks so low the loop tells us while bytes of the request are still ours. Not 0:
            # asyncio's TLS would say "paused" with nothing to write.
            self._transport.set_write_buffer_limits(high=1, low=0)
            self._transport.writelines((head, body))

    def pause(self) -> None:
        if not self._paused and self.usable():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self.usable():
            self._transport.resume_reading()
        self._paused = False

    def abort(self) -> None:
        """Close at once; nobody is told. The node hears it as a hang-up."""
        self._sink = None
        self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=BIG_BODY, low=0)

    def pause_writing(self) -> None:
        self.sent_whole = False

    def resume_writing(self) -> None:
        self.sent_whole = True

    def data_received(self, data: bytes) -> None:
        if self._sink is None:
            self._leave()
            return
        self.heard = True
        self._quiet += len(data)
        sound, bodies = True, self._bodies
        try:
            self._feed(data)
        except (HttpParserError, HttpParserUpgrade):
            sound = False
            self._keep_alive = False
        if bodies:
            if self._whole and self._last < len(bodies):
                del bodies[self._last :]
            said = bodies[0] if len(bodies) == 1 else b"".join(bodies)
            bodies.clear()
            self._quiet = 0
            if said and self._sink is not None:
                self._sink.data_came(said)
        if self._whole:
            self._finish()
        elif not sound:
            self._give_up("its answer is not HTTP/1.1 as we know it")
        elif self._quiet > self._quiet_limit:
            self._give_up(f"it sent a head of more than {self._quiet_limit} bytes")

    def eof_received(self) -> None:
        if self._sink is None:
            self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        sink, self._sink = self._sink, None
        if sink is None:
            self._keeper.gone(self)
        elif exc is None and self._ends_by_closing():
            sink.ended()
        else:
            sink.lost(f"the connection {spoken(exc)}")

    def _ends_by_closing(self) -> bool:
        return self._status >= 200 and not (
            "content-length" in self._headers or "transfer-encoding" in self._headers
        )

    def _finish(self) -> None:
        sink, self._sink = self._sink, None
        if self._paused:
            self.resume()
        if self._keep_alive and self.sent_whole and not self._transport.is_closing():
            self.reused = True
            self.heard = self._whole = False
            self._status = self._quiet = 0
            self._keeper.rested(self)
        else:
            self.abort()
        if sink is not None:
            sink.ended()

    def _give_up(self, reason: str) -> None:
        sink = self._sink
        self.abort()
        if sink is not None:
            sink.garbled(reason)

    def _leave(self) -> None:
        self.abort()
        self._keeper.gone(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._whole:
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status < 200:  # else a trailer, or the head of an answer that nobody asked for
            self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        if self._whole:
            return
        status = self._parser.get_status_code()
        lines, self._lines = self._lines, []
        if status < 200:
            return
        self._status = status
        self._headers = named(lines)
        if self._quiet > self._quiet_limit and self._head_size() > self._quiet_limit:
            raise ValueError("the head is too big")  # the parser makes an HttpParserError of it
        if self._sink is not None:
            self._sink.head_came(status, self._headers)

    def on_message_complete(self) -> None:
        if self._status >= 200 and not self._whole:
            self._whole = True
            self._last = len(self._bodies)
            self._keep_alive = self._parser.should_keep_alive()

    def _head_size(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self._headers.items())


def named(lines: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """By name in lower case; of several with one name the values are joined (RFC 9110, 5.3)."""
    headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in lines}
    if len(headers) == len(lines):
        return headers
    several: dict[str, list[str]] = {}
    for name, value in lines:
        several.setdefault(name.lower().decode("latin-1"), []).append(value.decode("latin-1"))
    return {key: ", ".join(values) for key, values in several.items()}


def spoken(error: BaseException | None) -> str:
    """What happened to a connection, in words that hold no address."""
    if error is None:
        return "was closed by the node"
    if isinstance(error, ssl.SSLError):
        return f"failed: {error.reason or 'TLS'}"
    if isinstance(error, socket.gaierror):
        return "failed: its name is unknown"
    if isinstance(error, OSError) and error.errno:
        return f"failed: {os.strerror(error.errno)}"
    return f"failed: {type(error).__name__}"
