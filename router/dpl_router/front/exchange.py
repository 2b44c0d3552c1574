"""One request and its answer: what the application calls `receive` and `send`."""

import asyncio
from collections.abc import Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Protocol

from dpl_router.errors import ClientGone
from dpl_router.front.head import Header

Message = MutableMapping[str, Any]

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
BODILESS = frozenset({204, 304})
KEEP = b"connection: keep-alive\r\n"
NOBODYS: dict[str, Any] = {}


class Line(Protocol):
    """What an exchange asks of its connection."""

    loop: asyncio.AbstractEventLoop
    """At hand, since asyncio makes sure of the running one by a system call each time."""
    clogged: asyncio.Future[None] | None
    """Ends when the client has read; None while it keeps up."""

    def write(self, data: bytes) -> None: ...

    def taken(self, size: int) -> None:
        """So many bytes of body are the application's now."""
        ...

    def ended(self) -> None:
        """The answer is out."""
        ...

    def prefix(self, status: int) -> bytes:
        """The status line and what every answer says."""
        ...


class Exchange:
    """`gone`: the client has left. `whole`: its request is all here. `ended`: our answer is out."""

    def __init__(self, line: Line, scope: dict[str, Any], keep: bool, waits: bool) -> None:
        """`keep`: the connection goes on after it. `waits`: the client sends its body after a
        100."""
        self._line = line
        self.scope = scope
        self.keep = keep
        self.old = scope["http_version"] == "1.0"
        self.bodiless = scope["method"] == "HEAD"
        self._waits = waits
        # All of it here: Python finds what stands in the class only eight times as slowly.
        self.gone = self.whole = self.started = self.ended = False
        self.size = 0
        """Bytes of body that lie here."""
        self.task: asyncio.Task[None] | None = None
        self._body: list[bytes] = []
        self._more = True
        self._head = b""
        self._chunked = False
        self._waiter: asyncio.Future[None] | None = None
        self._left: asyncio.Future[None] | None = None

    # What the connection calls.

    def add(self, data: bytes) -> None:
        self._body.append(data)
        self.size += len(data)
        if self._waiter is not None:
            self._wake()

    def complete(self) -> None:
        self.whole, self._waits = True, False
        if self._waiter is not None:
            self._wake()

    def leave(self) -> None:
        self.gone = True
        self._wake()
        if self._left is not None and not self._left.done():
            self._left.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def part(self) -> None:
        """The application is done. A request that still knew its scope, which knows it, would be
        freed by the garbage collector only: a tenth of what a request costs."""
        self.scope, self._left = NOBODYS, None

    # What the application calls.

    async def receive(self) -> Message:
        if self._more:
            while not (self._body or self.whole or self.gone):
                await self._wait()
            if not self.gone:
                return self._request()
        while not (self.gone or self.ended):
            await self._wait()
        return {"type": "http.disconnect"}

    def _request(self) -> Message:
        return {"type": "http.request", "body": self._taken(), "more_body": self._more}

    def _taken(self) -> bytes:
        pieces, self._more = self._body, not self.whole
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        size, self.size = self.size, 0
        self._line.taken(size)
        return body

    def _hear_no_more(self) -> None:
        """The answer does not need the rest of the request: it is thrown away as it comes."""
        self._more = False
        self._body.clear()
        size, self.size = self.size, 0
        self._line.taken(size)

    async def _wait(self) -> None:
        if self._waits and not self.started:
            self._waits = False
            self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._waiter = self._line.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def send(self, message: Message) -> None:
        """Waits while the client does not read. Raises: ClientGone, RuntimeError out of turn."""
        if self.gone:
            raise ClientGone("the client left before the end of its answer")
        kind = message["type"]
        if kind == "http.response.body" and self.started and not self.ended:
            more = message.get("more_body", False)
            if data := self._framed(message.get("body", b""), more):
                self._line.write(data)
            if not more:
                self._end()
            elif self._line.clogged is not None:
                await self._line.clogged
        elif kind == "http.response.start" and not self.started:
            self._start(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"the application sent {kind} out of turn")

    def _start(self, status: int, headers: Iterable[Header]) -> None:
        self.started = True
        if not self.whole:
            self._hear_no_more()
        self._head = self._head_of(status, headers)

    def _end(self) -> None:
        self.ended = True
        if self._waiter is not None:
            self._wake()
        self._line.ended()

    # What a surface calls that knows us as `scope["extensions"]["dpl.wire"]`: no message, no await.

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        """More of the body of an answer that was started; nothing once the client has left.

        What ends when the client has read; None while it keeps up.
        """
        if self.gone:
            return None
        line = self._line
        if self._chunked and not self._head:
            line.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            line.write(self._framed(data, True))
        return line.clogged

    def answer(self, headers: bytes, body: bytes) -> None:
        """All of a 200. `headers`: whole lines, each with its end, but for the length; it is the
        caller's care that no value holds a line break.

        Raises: ClientGone, RuntimeError where one was begun.
        """
        if self.gone:
            raise ClientGone("the client left before its answer")
        if self.started:
            raise RuntimeError("the application answered twice")
        self.started = True
        if not self.whole:
            self._hear_no_more()
            self.keep = False
        way = b"connection: close\r\n" if not self.keep else KEEP if self.old else b""
        self._line.write(
            b"%b\r\n%bcontent-length: %d\r\n%b\r\n%b"
            % (self._line.prefix(200), headers, len(body), way, b"" if self.bodiless else body)
        )
        self._end()

    def take(self) -> bytes | None:
        """The body of the request where all of it is here and none was asked for, else None."""
        if not self.whole or self.gone or not self._more:
            return None
        return self._taken()

    def left(self) -> asyncio.Future[None]:
        """A future of the caller's own that ends when the client leaves."""
        self._left = self._line.loop.create_future()
        if self.gone:
            self._left.set_result(None)
        return self._left

    # The bytes.

    def _head_of(self, status: int, headers: Iterable[Header]) -> bytes:
        self.bodiless = self.bodiless or status in BODILESS
        self.keep = self.keep and self.whole
        sized, lines = self.bodiless, [self._line.prefix(status)]
        for name, value in headers:
            if name == b"content-length":
                sized = True
            lines.append(b"%b: %b" % (name, value))
        if not sized and self.old:
            self.keep = False
        elif not sized:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked")
        if not self.keep:
            lines.append(b"connection: close")
        elif self.old:
            lines.append(b"connection: keep-alive")
        head = b"\r\n".join(lines)
        if head.count(b"\n") + head.count(b"\r") != 2 * len(lines):
            raise RuntimeError("the application sent a header with a line break in it")
        return head + b"\r\n\r\n"

    def _framed(self, body: bytes, more: bool) -> bytes:
        head, self._head = self._head, b""
        if self.bodiless:
            return head
        if not self._chunked:
            return head + body if head else body
        if more:
            return b"%b%x\r\n%b\r\n" % (head, len(body), body) if body else head
        if body:
            return b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body)
        return head + b"0\r\n\r\n"
