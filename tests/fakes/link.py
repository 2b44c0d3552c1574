"""One connection to a fake LLM server, and the faults on its wire."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

import httptools

from tests.fakes.faults import Faults, Place, Seen, State

RESET = struct.pack("ii", 1, 0)
JSON = "application/json; charset=utf-8"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
GARBAGE = {SSE: b'data: {"choices":[{"del<html>\n\n', NDJSON: b'{"model":"x","mes<html>\n'}
OPENING = {SSE: b'data: {"choices":[{"delta":{"content":"', NDJSON: b'{"model":"'}
"""How a line begins that never ends."""

Framing = Literal["length", "chunked"]


class Cut(Exception):
    """The connection shall die now."""


class Server(Protocol):
    """The server, as its connections know it."""

    @property
    def work(self) -> frozenset[str]: ...

    state: State
    links: "set[Link[Any]]"

    def take_faults(self, route: str) -> Faults: ...
    def control(self, seen: Seen) -> dict[str, Any] | None: ...


Node = TypeVar("Node", bound=Server)


class Link(asyncio.Protocol, ABC, Generic[Node]):
    """Parses requests, answers them one after the other. A kind of server says `respond`."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._parser: Any = httptools.HttpRequestParser(self)
        self._task: asyncio.Task[None] | None = None
        self._url = ""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._killed = False
        self.deaf = False
        self._writable = asyncio.Event()
        self._writable.set()

    @abstractmethod
    async def respond(self, seen: Seen, faults: Faults) -> None:
        """Answer what no fault has answered."""

    @abstractmethod
    def complaint(self) -> bytes:
        """The body of an error that a test asked for without a body of its own."""

    def media(self, seen: Seen) -> str:
        """Of a stream that answers `seen`."""
        return SSE

    def always(self) -> Sequence[str]:
        """Header lines of every answer."""
        return ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.node.state.connections += 1
        self.node.state.accepted += 1
        self.node.links.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.node.state.connections -= 1
        self.node.links.discard(self)
        self._writable.set()
        if self._task is not None and not self.deaf:
            self._task.cancel("hang-up")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._url += url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        parser = self._parser
        seen = Seen(
            method=parser.get_method().decode(),
            path=self._url,
            headers=self._headers,
            body=bytes(self._body),
            at=time.monotonic(),
            version=parser.get_http_version(),
            keep=parser.should_keep_alive(),
        )
        self._url, self._headers, self._body = "", {}, bytearray()
        if not seen.path.startswith("/fake/"):
            self.node.state.requests.append(seen)
        self._task = asyncio.get_running_loop().create_task(self._answer(seen))

    def reset(self) -> None:
        self._killed = True
        sock: socket.socket = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()

    def close_if_idle(self) -> None:
        if self._task is None or self._task.done():
            self._transport.close()

    async def _answer(self, seen: Seen) -> None:
        faults = self.node.take_faults(seen.route)
        state, works = self.node.state, seen.route in self.node.work
        state.open += works
        try:
            await self._faulty(seen, faults)
        except Cut:
            if faults.reset:
                self.reset()
            else:
                self._transport.close()
        except asyncio.CancelledError:
            if works and not self._killed:
                state.hang_ups.append(time.monotonic())
            raise
        except Exception:
            self._transport.close()  # a mistake of the fake shall not look like a silent server
            raise
        finally:
            state.open -= works
        if faults.close_after_answer or not seen.keep:
            self._transport.close()

    async def _faulty(self, seen: Seen, faults: Faults) -> None:
        await asyncio.sleep(faults.head_delay)
        await self.crash_at("before_head", faults)
        if faults.garbage:
            await self.write(b"\x00\x01 this is not HTTP at all\r\n\r\n", faults)
        elif faults.status:
            extra = [f"Retry-After: {faults.retry_after}"] if faults.retry_after else []
            body = faults.body.encode() or self.complaint()
            await self.plain(seen, faults.status, body, faults, extra=extra)
        elif faults.raw:
            await self.plain(seen, 200, faults.raw.encode("latin-1"), faults, kind=self.media(seen))
        elif (said := self.node.control(seen)) is not None:
            await self.plain(seen, 200, json.dumps(said).encode(), faults)
        else:
            await self.respond(seen, faults)

    async def crash_at(self, place: Place, faults: Faults) -> None:
        if faults.die == place:
            raise Cut
        if faults.hang == place:
            await asyncio.Event().wait()

    async def write(self, data: bytes, faults: Faults) -> None:
        if faults.drip < 0 and not faults.split:
            self._transport.write(data)
            await self._writable.wait()
            return
        size = faults.split or 1
        for at in range(0, len(data), size):
            self._transport.write(data[at : at + size])
            await asyncio.sleep(max(0.0, faults.drip))

    def head(self, seen: Seen, status: int, lines: Sequence[str]) -> bytes:
        known = {one.value: one.phrase for one in HTTPStatus}
        first = f"HTTP/{seen.version} {status} {known.get(status, 'Told By The Fake')}"
        close = ["Connection: close"] if not seen.keep and seen.version == "1.1" else []
        return "\r\n".join([first, *lines, *self.always(), *close, "", ""]).encode()

    async def plain(
        self,
        seen: Seen,
        status: int,
        body: bytes,
        faults: Faults,
        *,
        kind: str = JSON,
        extra: Sequence[str] = (),
        framing: Framing = "length",
    ) -> None:
        """A whole answer. `kind`: its content type, "" for none."""
        kind = faults.content_type or kind
        lines = [f"Content-Type: {kind}"] if kind else []
        if framing == "chunked":
            size = "Transfer-Encoding: chunked"
            body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        else:
            size = f"Content-Length: {len(body)}"
        head = self.head(seen, status, [*lines, *extra, size])
        if faults.die == "after_tokens":
            sent = body[: len(body) // 2] if faults.torn else b""
            await self.write(head + sent if sent else b"", faults)
        await self.crash_at("after_tokens", faults)
        await self.write(head + (b"" if seen.method == "HEAD" else body), faults)

    async def told(
        self,
        stream: "Stream",
        words: AsyncIterator[Sequence[bytes]],
        error: Callable[[], bytes],
    ) -> bool:
        """Says `words`, each in its events; False where a fault has ended the answer."""
        faults, sent = stream.faults, 0
        async for word in words:
            if sent == faults.error_after:
                await stream.send(error())
                await stream.end()
                return False
            if sent == faults.after and "after_tokens" in (faults.die, faults.hang):
                await stream.send(word[0][: len(word[0]) // 2] if faults.torn else b"")
                if faults.die and faults.clean_cut:
                    await stream.end()
                    return False
                await self.crash_at("after_tokens", faults)
            if sent == faults.garbage_after:
                await stream.send(GARBAGE[stream.media])
            if sent == faults.endless_after:
                await stream.endless(OPENING[stream.media])
            for event in word:
                await stream.send(event)
            sent += 1
        return True


class Stream:
    """A streamed answer on its way: chunked, or ended by close for HTTP/1.0."""

    def __init__(self, link: Link[Any], seen: Seen, faults: Faults) -> None:
        self._link = link
        self._seen = seen
        self.media = link.media(seen)
        self.faults = faults
        self._chunked = seen.version != "1.0"
        self._opened = False

    async def open(self) -> None:
        """The head, by itself."""
        await self._link.write(self._head(), self.faults)

    def _head(self) -> bytes:
        self._opened = True
        lines = [f"Content-Type: {self.faults.content_type or self.media}"]
        lines += ["Transfer-Encoding: chunked"] if self._chunked else []
        return self._link.head(self._seen, 200, lines)

    async def send(self, data: bytes) -> None:
        """One chunk; the head goes with the first, where it has not gone yet. b"": nothing."""
        if not data:
            return
        if self.faults.crlf:
            data = data.replace(b"\n", b"\r\n")
        if self.faults.bare:
            for escaped, char in ((b"\\u2028", "\u2028"), (b"\\u2029", "\u2029")):
                data = data.replace(escaped, char.encode())
        head = b"" if self._opened else self._head()
        if self._chunked:
            data = f"{len(data):x}\r\n".encode() + data + b"\r\n"
        await self._link.write(head + data, self.faults)

    async def endless(self, opening: bytes) -> None:
        await self.send(opening)
        while True:
            await self.send(b"x" * 65536)
            await asyncio.sleep(0)

    async def end(self) -> None:
        head = b"" if self._opened else self._head()
        await self._link.write(head + (b"0\r\n\r\n" if self._chunked else b""), self.faults)
