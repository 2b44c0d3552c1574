"""One connection to the fake OpenAI server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from tests.fakes.faults import Faults, Seen
from tests.fakes.link import Link, Server, Stream
from tests.fakes.openai_answers import Generation, Node, page

CHAT = "/v1/chat/completions"


class OpenAiNode(Node, Server, Protocol):
    """The server, as its connections know it."""

    places: asyncio.Semaphore


class OpenAiLink(Link[OpenAiNode]):
    """Answers chats as llama.cpp's server does."""

    def always(self) -> Sequence[str]:
        return "Server: fake", "Keep-Alive: timeout=5, max=100"

    def complaint(self) -> bytes:
        return b'{"error":{"code":500,"message":"told by the fake","type":"server_error"}}'

    def framed(self, said: dict[str, Any] | str) -> bytes:
        """A chunk of a stream, its error or its last word ("[DONE]"), as it goes over the wire."""
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        return f"data: {text}\n\n".encode()

    async def respond(self, seen: Seen, faults: Faults) -> None:
        if seen.path == CHAT and seen.method == "POST":
            await self._chat(seen, faults)
        else:
            status, body, kind = page(self.node, seen)
            await self.plain(seen, status, body, faults, kind=kind)

    async def _chat(self, seen: Seen, faults: Faults) -> None:
        node = self.node
        if node.api_key and seen.headers.get("authorization") != f"Bearer {node.api_key}":
            said = f'{{"error":{{"message":"Invalid API Key: {node.api_key}","code":401}}}}'
            await self.plain(seen, 401, said.encode(), faults)
            return
        try:
            call = Generation(node, seen)
        except ValueError as error:
            said = json.dumps({"error": {"code": 400, "message": str(error)}})
            await self.plain(seen, 400, said.encode(), faults)
            return
        async with node.places:
            node.state.running += 1
            try:
                await self._generate(seen, call, faults)
            finally:
                node.state.running -= 1
        node.state.finished.append(time.monotonic())

    async def _generate(self, seen: Seen, call: Generation, faults: Faults) -> None:
        if not call.stream:
            self.deaf = faults.deaf
            await self.crash_at("after_head", faults)
            async for _ in call.steps(faults):
                pass
            await self.plain(seen, 200, json.dumps(call.whole()).encode(), faults)
            return
        stream = Stream(self, seen, faults)
        await stream.open()
        await self.crash_at("after_head", faults)
        if not await self.told(
            stream, self._words(call, faults), lambda: self.framed(call.error())
        ):
            return
        await stream.send(self.framed(call.chunk({}, call.finish)))
        if call.wants_usage:
            await stream.send(self.framed(call.usage_chunk()))
        if not faults.no_done:
            await stream.send(self.framed("[DONE]"))
        await stream.end()

    async def _words(self, call: Generation, faults: Faults) -> AsyncIterator[Sequence[bytes]]:
        before = [self.framed(call.chunk({"role": "assistant", "content": None}))]
        async for delta in call.steps(faults):
            yield [*before, self.framed(call.chunk(delta))]
            before = []
