"""A pool over a server that a test scripts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from dpl_router.errors import UpstreamError
from dpl_router.upstreams.base import Request
from dpl_router.upstreams.transport import (
    Limits,
    NodePool,
    Origin,
    Sweeper,
    Timeouts,
    UpstreamStream,
)
from tests.fakes.wire import Peer, served

POST = Request("POST", "/v1/chat/completions", b'{"x":1}', {"Content-Type": "application/json"})
QUICK = Timeouts(connect=2, first_byte=5, idle=5, total=10)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BOTH_LOOPS = [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]


@asynccontextmanager
async def swept(pool: NodePool) -> AsyncIterator[NodePool]:
    """`pool` under a quick sweep; closed at the end, with nothing left on its way."""
    sweeper = Sweeper(0.02)
    sweeper.watch(pool)
    sweeping = asyncio.create_task(sweeper.run())
    try:
        async with asyncio.timeout(60):
            yield pool
    finally:
        sweeping.cancel()
        sweeper.unwatch(pool)
        sweeper.unwatch(pool)
        pool.close()
        assert pool.active == 0


@asynccontextmanager
async def pooled(
    script: Callable[[Peer], Awaitable[None]], limits: Limits | None = None
) -> AsyncIterator[NodePool]:
    async with served(script) as url, swept(NodePool(Origin.parse(url), limits)) as pool:
        yield pool


async def fetch(pool: NodePool, request: Request = POST) -> tuple[int, bytes]:
    stream = pool.send(request, QUICK)
    try:
        return (await stream.head()).status, await stream.read()
    finally:
        stream.close()


async def failing(stream: UpstreamStream) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await stream.read()
    return caught.value
