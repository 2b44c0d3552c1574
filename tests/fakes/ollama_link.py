"""One connection to the fake Ollama: its pages, answers, embeddings, pulls."""

import asyncio
import time

from tests.fakes import ollama_pages as pages
from tests.fakes.faults import Faults, Seen
from tests.fakes.link import Stream
from tests.fakes.ollama_door import Door
from tests.fakes.ollama_embed import Embedding, OldEmbedding, OpenAiEmbedding
from tests.fakes.ollama_go import Refusal, written
from tests.fakes.ollama_voices import Said, Times, line
from tests.fakes.ollama_work import LOADED, READING, WARM, Work

EMBEDDINGS: dict[str, type[Embedding]] = {
    "/api/embed": Embedding,
    "/api/embeddings": OldEmbedding,
    "/v1/embeddings": OpenAiEmbedding,
}


class OllamaLink(Door):
    """Answers as a real Ollama does."""

    async def page(self, seen: Seen, faults: Faults) -> None:
        if seen.route in self.node.work and self.node.api_key:
            self._check_key(seen)
        if seen.route in EMBEDDINGS:
            await self._embed(seen, faults)
        elif seen.route in self.node.work:
            await Work(self, seen, faults).run()
        elif seen.route in ("/api/pull", "/api/create"):
            await self._steps(seen, faults)
        else:
            await self.say(seen, 200, self._page(seen), faults)

    def _check_key(self, seen: Seen) -> None:
        if seen.headers.get("authorization") != f"Bearer {self.node.api_key}":
            raise Refusal(401, f"unauthorized: {self.node.api_key} was expected")

    def _page(self, seen: Seen) -> Said:
        node = self.node
        match seen.route:
            case "/":
                return Said(b"Ollama is running", "text/plain; charset=utf-8")
            case "/api/version":
                return pages.version(node)
            case "/api/tags":
                return pages.tags(node)
            case "/api/ps":
                return pages.ps(node)
            case "/api/status":
                return pages.cloud()
            case "/v1/models":
                return pages.openai_models(node)
            case "/api/show":
                return pages.show(node, seen)
            case "/api/copy":
                return pages.copy(node, seen)
            case "/api/delete":
                return pages.delete(node, seen)
        return pages.openai_one(node, seen)

    async def _embed(self, seen: Seen, faults: Faults) -> None:
        node, shelf = self.node, self.node.shelf
        call = EMBEDDINGS[seen.route](seen.body, shelf)
        num_ctx = shelf.wanted_context(call.model, None)
        began = time.monotonic_ns()
        async with shelf.borrowed(call.model, num_ctx, call.keep) as (runner, fresh):
            load = max(time.monotonic_ns() - began, LOADED if fresh else WARM)
            vectors = call.vectors(modern=node.modern)
            async with runner.places:
                await self.crash_at("after_head", faults)
                await asyncio.sleep(faults.first_delay)
                times = Times(load=load, prompt=sum(call.counts) * READING)
                await self.say(seen, 200, call.told(vectors, times), faults)
        node.state.finished.append(time.monotonic())

    async def _steps(self, seen: Seen, faults: Faults) -> None:
        """A failure is found late: a stream tells it with 200, in its last line."""
        streamed, steps = pages.steps(self.node, seen)
        stream = Stream(self, seen, faults)
        last: dict[str, object] = {}
        for last in steps:
            if streamed:
                await stream.send(line(last))
            await asyncio.sleep(self.node.step_seconds)
        if streamed:
            await stream.end()
            return
        status = 500 if "error" in last else 200
        said = Said(written(last).encode(), "application/json")
        await self.say(seen, status, said, faults)
