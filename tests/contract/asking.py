"""A client of one node, which asks as dispatch does."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from dpl_router.conversation import ChatRequest, Piece
from dpl_router.upstreams.base import Dialect
from dpl_router.upstreams.transport import NodePool, Origin, Sweeper, Timeouts, UpstreamStream
from tests.fakes.taken import taken

PATIENT = Timeouts(first_byte=10, idle=10)


class Client:
    """`stream`: that of the last call."""

    def __init__(self, dialect: Dialect, pool: NodePool) -> None:
        self._dialect = dialect
        self.pool = pool
        self.stream: UpstreamStream | None = None

    async def ask(
        self,
        *,
        stream: bool = True,
        model: str = "tiny",
        times: Timeouts | None = None,
        into: list[Piece] | None = None,
        **body: Any,
    ) -> list[Piece]:
        """All pieces; those of a broken answer are left in `into`."""
        asked = {"model": model, "messages": [{"role": "user", "content": "hi"}], **body}
        if stream:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        data = json.dumps(asked).encode()
        call = ChatRequest("r1", model, data, stream, wants_usage=stream, prompt_tokens=5)
        pieces = [] if into is None else into
        times = times or PATIENT
        answer = self.stream = self.pool.send(self._dialect.request(call, "tiny"), times)
        try:
            head = await answer.head()
            if head.status != 200:
                said = await answer.read()
                other = self._dialect.second(call, "tiny", head, said)
                if other is None:
                    raise self._dialect.refusal(head, said)
                answer = self.stream = self.pool.send(other, times)
                head = await answer.head()
            if head.status != 200:
                raise self._dialect.refusal(head, await answer.read())
            decoder = self._dialect.decoder(call, "tiny", head)
            while await answer.more():
                pieces += taken(decoder.feed(answer.take()))
            pieces += taken(decoder.end())
        finally:
            answer.close()
        return pieces

    async def models(self) -> list[str]:
        bodies: list[bytes | None] = []
        for look in self._dialect.looks:
            answer = self.pool.send(look, Timeouts())
            await answer.head()
            bodies.append(await answer.read())
        return [one.name for one in self._dialect.read_models(bodies)]


@asynccontextmanager
async def asking(dialect: Dialect, url: str, key: str) -> AsyncIterator[Client]:
    """`key`: our credential at the node."""
    pool = NodePool(Origin.parse(url), headers={"Authorization": f"Bearer {key}"})
    sweeper = Sweeper(0.02)
    sweeper.watch(pool)
    sweeping = asyncio.create_task(sweeper.run())
    try:
        yield Client(dialect, pool)
    finally:
        sweeping.cancel()
        pool.close()
        assert pool.active == 0


async def until(true: Callable[[], object], seconds: float = 1.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)
