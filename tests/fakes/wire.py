"""A TCP server that says what a test tells it to, byte for byte, on the test's own loop."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's end of one connection; `number` counts from 1."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """A whole request: head and body. Raises: IncompleteReadError where none comes."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return head + await self._reader.readexactly(length)

    async def say(self, *parts: bytes) -> None:
        """Each part in a packet of its own. Raises: OSError where the client has gone."""
        for part in parts:
            if self._writer.is_closing():
                raise ConnectionResetError("the client has gone")
            self._writer.write(part)
            await self._writer.drain()
            await asyncio.sleep(0.005)

    async def answer(self, body: bytes = b"ok", *headers: bytes) -> None:
        extra = b"".join(header + b"\r\n" for header in headers)
        length = str(len(body)).encode()
        await self.say(
            b"HTTP/1.1 200 OK\r\n" + extra + b"Content-Length: " + length + b"\r\n\r\n" + body
        )

    async def heard_hang_up(self) -> bool:
        """True once the client has closed."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65536):
                pass
        return True

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def served(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Runs `script` for each connection; yields the url. A script that ends closes."""
    running: set[asyncio.Task[None]] = set()
    count = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await script(Peer(count, reader, writer))
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        server.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0.01)
