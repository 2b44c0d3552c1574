"""A listener on a free port, applications for it, and clients that say exactly the bytes given."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from dpl_router.front.limits import Limits
from dpl_router.front.listener import Listener
from dpl_router.server import bound
from dpl_router.settings import Address

QUICK = Limits(look_seconds=0.05)
END = b"\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

Serve = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass
class App:
    """Calls `serve` for each request and remembers their scopes; lifespan is answered."""

    serve: Serve
    scopes: list[Any] = field(default_factory=list)
    life: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                self.life.append(step)
                await send({"type": f"lifespan.{step}.complete"})
            return
        self.scopes.append(scope)
        await self.serve(scope, receive, send)


@dataclass(frozen=True)
class Stage:
    port: int
    listener: Listener

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *pieces: bytes, pause: float = 0.0) -> bytes:
        """All that is answered until the other side closes."""
        reader, writer = await self.open()
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(pause)
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()


@asynccontextmanager
async def listening(app: Any, limits: Limits = QUICK) -> AsyncIterator[Stage]:
    door = bound(Address("127.0.0.1", 0))
    listener = Listener(app, limits)
    await listener.start(door, 1024)
    try:
        yield Stage(door.getsockname()[1], listener)
    finally:
        await asyncio.wait_for(listener.stop(grace=0.1), 10)


async def read_all(receive: Any) -> bytes | None:
    """The request's body; None where the client left before its end."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += bytes(message["body"])
        if not message["more_body"]:
            return body
    return None


async def answer(send: Any, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """JSON of method, path, query, host and body."""
    body = await read_all(receive)
    if body is None:
        return
    told = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "host": dict(scope["headers"]).get(b"host", b"").decode(),
        "body": body.decode("latin-1"),
    }
    await answer(send, json.dumps(told).encode())


def one(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """The first answer in `raw`: status, headers, and all that follows the head."""
    head, _, rest = raw.partition(END)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split(" ")[1]), headers, rest


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(END), 10)


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a test looks from outside
            await asyncio.sleep(0.01)
