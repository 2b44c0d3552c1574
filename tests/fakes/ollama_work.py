"""One call for an answer at the fake Ollama, from its load to its last word."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from tests.fakes import ollama_openai as openai
from tests.fakes.faults import Faults, Seen
from tests.fakes.link import Stream
from tests.fakes.ollama_calls import (
    Call,
    Word,
    chat_call,
    generate_call,
    read_chat,
    read_generate,
    speak,
)
from tests.fakes.ollama_checks import check_context, check_format, check_images, cut_prompt
from tests.fakes.ollama_door import Door, OllamaNode
from tests.fakes.ollama_go import Refusal
from tests.fakes.ollama_models import Runner
from tests.fakes.ollama_voices import DIED, ChatVoice, GenerateVoice, Times, Voice

LOADED = 500_000_000
"""Nanoseconds that a load is told to take at least; WARM: where there was none."""
WARM = 1_000_123
READING = 500_000
"""Nanoseconds for each token of the prompt; WRITING: for each of the answer."""
WRITING = 8_000_000
LAST_EVENT = b"data: [DONE]\n\n"


def heard(node: OllamaNode, seen: Seen) -> tuple[Voice, Call]:
    """Raises: Refusal."""
    now = node.shelf.clock()
    voice: Voice
    match seen.route:
        case "/api/chat":
            voice = ChatVoice(now, old=not node.modern)
            return voice, chat_call(read_chat(seen.body), node.shelf)
        case "/api/generate":
            voice = GenerateVoice(now, old=not node.modern)
            return voice, generate_call(read_generate(seen.body), node.shelf)
        case "/v1/chat/completions":
            voice = openai.OpenAiChatVoice(now, node.next_number())
            return voice, chat_call(openai.read_chat(seen.body), node.shelf)
    voice = openai.OpenAiTextVoice(now, node.next_number())
    return voice, generate_call(openai.read_text(seen.body), node.shelf)


class Work:
    """Raises: Refusal, ServerDies."""

    def __init__(self, link: Door, seen: Seen, faults: Faults) -> None:
        self._link = link
        self._node = link.node
        self._seen = seen
        self._faults = faults
        self._voice, self._call = heard(link.node, seen)

    async def run(self) -> None:
        call, shelf = self._call, self._node.shelf
        if call.empty and call.keep == 0:
            shelf.unload(call.model)
            await self._link.say(self._seen, 200, self._voice.loaded(call, "unload"), self._faults)
            return
        num_ctx = shelf.wanted_context(call.model, call.options.get("num_ctx"))
        began = time.monotonic_ns()
        async with shelf.borrowed(call.model, num_ctx, call.keep) as (runner, fresh):
            load = max(time.monotonic_ns() - began, LOADED if fresh else WARM)
            if call.empty:
                said = self._voice.loaded(call, "load")
                await self._link.say(self._seen, 200, said, self._faults)
                return
            self._prepare(runner)
            began = time.monotonic_ns()
            async with runner.places:
                await self._speak(runner, load, time.monotonic_ns() - began)

    def _prepare(self, runner: Runner) -> None:
        call, modern = self._call, self._node.modern
        try:
            check_format(call.document.get("format"), modern=modern)
            check_context(call, modern=modern)
            check_images(call, modern=modern)
            cut_prompt(call, runner.num_ctx, modern=modern)
        except Refusal as refusal:
            refusal.late = refusal.late and call.stream
            raise
        speak(call, self._node.tokens, self._node.thinking)

    async def _speak(self, runner: Runner, load: int, waited: int) -> None:
        state = self._node.state
        state.running += 1
        try:
            times = Times(load, waited, self._reading(runner), len(self._call.words) * WRITING)
            if self._call.stream:
                done = await self._stream(times)
            else:
                done = await self._whole(times)
        finally:
            state.running -= 1
        runner.dead = not done and self._faults.error_after >= 0
        if done:
            state.finished.append(time.monotonic())
        elif not self._call.stream:
            raise Refusal(500, DIED)

    def _reading(self, runner: Runner) -> int:
        """What is in the cache costs next to nothing, though its tokens are counted."""
        call, prompt = self._call, "\n".join(self._call.prompts)
        known = bool(runner.prompt) and prompt.startswith(runner.prompt)
        fresh = prompt.removeprefix(runner.prompt) if known else prompt
        runner.prompt = prompt
        return min(call.evaluated, max(1, len(fresh.split()))) * READING

    async def _words(self) -> AsyncIterator[tuple[int, Word]]:
        state, shelf = self._node.state, self._node.shelf
        await asyncio.sleep(self._faults.first_delay)
        state.prompt_tokens += self._call.evaluated
        for at, word in enumerate(self._call.words):
            if at:
                await asyncio.sleep(self._faults.token_delay)
            state.predicted_tokens += 1
            self._voice.now = shelf.clock()
            yield at, word

    async def _events(self) -> AsyncIterator[Sequence[bytes]]:
        async for at, word in self._words():
            yield self._voice.word(self._call, word, at)

    async def _whole(self, times: Times) -> bool:
        await self._link.crash_at("after_head", self._faults)
        async for at, _ in self._words():
            if at == self._faults.error_after:
                return False
        said = self._voice.whole(self._call, times)
        await self._link.say(self._seen, 200, said, self._faults)
        return True

    async def _stream(self, times: Times) -> bool:
        """The head leaves with the first word, unless a fault wants it alone."""
        faults, voice, call = self._faults, self._voice, self._call
        stream = Stream(self._link, self._seen, faults)
        if "after_head" in (faults.die, faults.hang):
            await stream.open()
            await self._link.crash_at("after_head", faults)
        if not await self._link.told(stream, self._events(), lambda: voice.died(call)):
            return False
        voice.now = self._node.shelf.clock()
        last = voice.last(call, times)
        if faults.no_done:
            last = last.removesuffix(LAST_EVENT) if last.endswith(LAST_EVENT) else b""
        await stream.send(last)
        await stream.end()
        return True
