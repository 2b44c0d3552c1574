"""One connection to the fake OpenAI server, and the faults on its wire."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from typing import Any, Protocol, cast

import httptools

from tests.fakes.openai_answers import Generation, Node, page
from tests.fakes.openai_faults import CHAT, Faults, Place, Seen

RESET = struct.pack("ii", 1, 0)
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}


class Cut(Exception):
    """The connection shall die now."""


class Server(Node, Protocol):
    links: "set[Link]"
    places: asyncio.Semaphore

    def take_faults(self, path: str) -> Faults: ...


class Link(asyncio.Protocol):
    """One connection: parses requests, answers them one after the other.

    A server that streams in another format is a class below this one with its own `media` and
    `framed`, and a FakeOpenAi with it as its `link`.
    """

    media = "text/event-stream"

    def framed(self, said: dict[str, Any] | str) -> bytes:
        """A chunk of a stream, its error or its last word ("[DONE]"), as it goes over the wire;
        b"" for what this format has no words for."""
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        return f"data: {text}\n\n".encode()

    def __init__(self, node: Server) -> None:
        self._node = node
        self._parser: Any = httptools.HttpRequestParser(self)
        self._task: asyncio.Task[None] | None = None
        self._url = ""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._killed = False
        self._deaf = False
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._node.state.connections += 1
        self._node.state.accepted += 1
        self._node.links.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._node.state.connections -= 1
        self._node.links.discard(self)
        self._writable.set()
        if self._task is not None and not self._deaf:
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

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        seen = Seen(method, self._url, self._headers, bytes(self._body), time.monotonic())
        self._url, self._headers, self._body = "", {}, bytearray()
        if not seen.path.startswith("/fake/"):
            self._node.state.requests.append(seen)
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
        faults = self._node.take_faults(seen.path)
        state, chat = self._node.state, seen.path == CHAT
        state.open += chat
        try:
            await self._faulty(seen, faults)
        except Cut:
            if faults.reset:
                self.reset()
            else:
                self._transport.close()
        except asyncio.CancelledError:
            if chat and not self._killed:
                state.hang_ups.append(time.monotonic())
            raise
        finally:
            state.open -= chat
        if faults.close_after_answer:
            self._transport.close()

    async def _faulty(self, seen: Seen, faults: Faults) -> None:
        await asyncio.sleep(faults.head_delay)
        await self._crash_at("before_head", faults)
        if faults.garbage:
            await self.write(b"\x00\x01 this is not HTTP at all\r\n\r\n", faults)
        elif faults.status:
            extra = f"Retry-After: {faults.retry_after}\r\n" if faults.retry_after else ""
            await self.plain(faults.status, faults.body.encode(), faults, extra=extra)
        elif faults.raw:
            kind = faults.content_type or self.media
            await self.plain(200, faults.raw.encode("latin-1"), faults, kind=kind)
        elif seen.path == CHAT and seen.method == "POST":
            await self._chat(seen, faults)
        else:
            status, body, kind = page(self._node, seen)
            await self.plain(status, body, faults, kind=kind)

    async def _crash_at(self, place: Place, faults: Faults) -> None:
        if faults.die == place:
            raise Cut
        if faults.hang == place:
            await asyncio.Event().wait()

    async def write(self, data: bytes, faults: Faults) -> None:
        if faults.drip < 0:
            self._transport.write(data)
            await self._writable.wait()
            return
        for at in range(len(data)):
            self._transport.write(data[at : at + 1])
            await asyncio.sleep(faults.drip)

    async def plain(
        self,
        status: int,
        body: bytes,
        faults: Faults,
        *,
        kind: str = "application/json; charset=utf-8",
        extra: str = "",
    ) -> None:
        head = (
            f"HTTP/1.1 {status} {REASONS.get(status, 'Told By The Fake')}\r\nServer: fake\r\n"
            f"Content-Type: {faults.content_type or kind}\r\nContent-Length: {len(body)}\r\n{extra}"
            "Keep-Alive: timeout=5, max=100\r\n\r\n"
        )
        await self.write(head.encode() + body, faults)

    async def _chat(self, seen: Seen, faults: Faults) -> None:
        node = self._node
        if node.api_key and seen.headers.get("authorization") != f"Bearer {node.api_key}":
            said = f'{{"error":{{"message":"Invalid API Key: {node.api_key}","code":401}}}}'
            await self.plain(401, said.encode(), faults)
            return
        try:
            call = Generation(node, seen)
        except ValueError as error:
            said = json.dumps({"error": {"code": 400, "message": str(error)}})
            await self.plain(400, said.encode(), faults)
            return
        async with node.places:
            node.state.running += 1
            try:
                await self._generate(call, faults)
            finally:
                node.state.running -= 1
        node.state.finished.append(time.monotonic())

    async def _generate(self, call: "Generation", faults: Faults) -> None:
        if not call.stream:
            self._deaf = faults.deaf
            await self._crash_at("after_head", faults)
            async for _ in call.steps(faults):
                pass
            await self._crash_at("after_tokens", faults)
            await self.plain(200, json.dumps(call.whole()).encode(), faults)
            return
        head = (
            "HTTP/1.1 200 OK\r\nServer: fake\r\n"
            f"Content-Type: {faults.content_type or self.media}\r\n"
            "Transfer-Encoding: chunked\r\nKeep-Alive: timeout=5, max=100\r\n\r\n"
        )
        await self.write(head.encode(), faults)
        await self._crash_at("after_head", faults)
        sent = 0
        async for delta in call.steps(faults):
            if sent == faults.error_after:
                await self._event(call.error(), faults)
                await self._last(faults)
                return
            if sent == faults.after and faults.die == "after_tokens" and faults.clean_cut:
                await self._last(faults)
                return
            if sent == faults.after:
                await self._crash_at("after_tokens", faults)
            if sent == 0:
                await self._event(call.chunk({"role": "assistant", "content": None}), faults)
            await self._event(call.chunk(delta), faults)
            sent += 1
        await self._event(call.chunk({}, call.finish), faults)
        if call.wants_usage:
            await self._event(call.usage_chunk(), faults)
        if not faults.no_done:
            await self._event("[DONE]", faults)
        await self._last(faults)

    async def _event(self, said: dict[str, Any] | str, faults: Faults) -> None:
        if event := self.framed(said):
            await self.write(f"{len(event):x}\r\n".encode() + event + b"\r\n", faults)

    async def _last(self, faults: Faults) -> None:
        await self.write(b"0\r\n\r\n", faults)
