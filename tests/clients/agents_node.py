"""A server at the wire that has what agents ask for: /v1/messages, its count_tokens, /v1/responses.

It answers as a real Ollama 0.32.15 and llama.cpp's server do, in their order of events. A call with
tools gets one call of the first, unless a tool has just answered; with `thinking` it thinks first.
Used like its siblings in tests/fakes; `python -m tests.clients.agents_node` prints its url.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from tests.fakes.faults import Faults, Seen
from tests.fakes.link import Link, Server, Stream
from tests.fakes.server import FakeServer

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
RESPONSES = "/v1/responses"
ARGUMENTS = ('{"city"', ': "Par', 'is"}')
THOUGHT = ("Let", " me", " think", ".")

Event = tuple[str, dict[str, Any]]


class AgentsNode(Server, Protocol):
    """The server, as its connections know it."""

    models: Sequence[str]
    tokens: Sequence[str]


def words(call: Mapping[str, Any], tokens: Sequence[str]) -> tuple[Sequence[str], str]:
    """What it says, and why it ends: "stop" or "length"."""
    stops = call.get("stop_sequences") or []
    whole = "".join(tokens)
    ends = [at for stop in stops if (at := whole.find(stop)) >= 0]
    if ends:
        return [whole[: min(ends)]], "stop"
    most = call.get("max_tokens") or call.get("max_output_tokens") or len(tokens)
    return tokens[:most], "length" if most < len(tokens) else "stop"


def tool_of(call: Mapping[str, Any], last: object) -> str:
    """The name of the tool that is called; "" for none."""
    tools = call.get("tools") or []
    answered = '"tool_result"' in json.dumps(last) or '"function_call_output"' in json.dumps(last)
    return "" if not tools or answered else str(tools[0]["name"])


class Message:
    """An answer at /v1/messages."""

    def __init__(self, call: Mapping[str, Any], tokens: Sequence[str]) -> None:
        self._call = call
        self._tool = tool_of(call, call["messages"][-1])
        said, end = words(call, tokens)
        self.blocks: list[tuple[str, Sequence[str]]] = []
        if call.get("thinking"):
            self.blocks.append(("thinking", THOUGHT))
        self.blocks.append(("tool_use", ARGUMENTS) if self._tool else ("text", said))
        self._stop = "tool_use" if self._tool else {"stop": "end_turn", "length": "max_tokens"}[end]
        made = sum(len(pieces) for _, pieces in self.blocks)
        self._usage = {"input_tokens": len(json.dumps(call).split()), "output_tokens": made}

    def whole(self) -> dict[str, Any]:
        content = [self._block(kind, "".join(pieces)) for kind, pieces in self.blocks]
        return self._top(content) | {"stop_reason": self._stop, "usage": self._usage}

    def events(self) -> Iterator[Event]:
        empty = {**self._usage, "output_tokens": 0}
        yield "message_start", {"message": self._top([]) | {"usage": empty}}
        for index, (kind, pieces) in enumerate(self.blocks):
            opening = self._block(kind, "")
            yield "content_block_start", {"index": index, "content_block": opening}
            for piece in pieces:
                yield "content_block_delta", {"index": index, "delta": self._delta(kind, piece)}
            yield "content_block_stop", {"index": index}
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        yield "message_delta", {"delta": delta, "usage": self._usage}
        yield "message_stop", {}

    def _top(self, content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "id": "msg_fake1",
            "type": "message",
            "role": "assistant",
            "model": self._call["model"],
            "content": content,
        }

    def _block(self, kind: str, text: str) -> dict[str, Any]:
        if kind == "tool_use":
            called = json.loads(text) if text else {}
            return {"type": kind, "id": "toolu_fake1", "name": self._tool, "input": called}
        block = {"type": kind, kind: text}
        return block | ({"signature": ""} if kind == "thinking" else {})

    @staticmethod
    def _delta(kind: str, piece: str) -> dict[str, Any]:
        name, key = {
            "tool_use": ("input_json_delta", "partial_json"),
            "thinking": ("thinking_delta", "thinking"),
            "text": ("text_delta", "text"),
        }[kind]
        return {"type": name, key: piece}


class Response:
    """An answer at /v1/responses."""

    def __init__(self, call: Mapping[str, Any], tokens: Sequence[str]) -> None:
        self._call = call
        asked = call["input"]
        self._tool = tool_of(call, asked[-1] if isinstance(asked, list) else asked)
        said, _ = words(call, tokens)
        self._pieces = ARGUMENTS if self._tool else said

    def whole(self) -> dict[str, Any]:
        return self._top("completed") | {"output": [self._item("completed")]}

    def events(self) -> Iterator[Event]:
        for name in ("created", "in_progress"):
            yield f"response.{name}", {"response": self._top("in_progress")}
        yield "response.output_item.added", {"output_index": 0, "item": self._item("in_progress")}
        yield from self._called() if self._tool else self._spoken()
        yield "response.output_item.done", {"output_index": 0, "item": self._item("completed")}
        yield "response.completed", {"response": self.whole()}

    def _spoken(self) -> Iterator[Event]:
        at = {"output_index": 0, "item_id": "msg_fake1", "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": []}
        yield "response.content_part.added", {**at, "part": part}
        for piece in self._pieces:
            yield "response.output_text.delta", {**at, "delta": piece, "logprobs": []}
        text = "".join(self._pieces)
        yield "response.output_text.done", {**at, "text": text, "logprobs": []}
        yield "response.content_part.done", {**at, "part": {**part, "text": text}}

    def _called(self) -> Iterator[Event]:
        at = {"output_index": 0, "item_id": "fc_fake1"}
        for piece in self._pieces:
            yield "response.function_call_arguments.delta", {**at, "delta": piece}
        whole = "".join(self._pieces)
        done = {**at, "name": self._tool, "arguments": whole}
        yield "response.function_call_arguments.done", done

    def _item(self, status: str) -> dict[str, Any]:
        said = "".join(self._pieces) if status == "completed" else ""
        if self._tool:
            names = {"id": "fc_fake1", "call_id": "call_fake1", "name": self._tool}
            return {"type": "function_call", **names, "arguments": said, "status": status}
        part = {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
        content = [part] if said else []
        who = {"id": "msg_fake1", "role": "assistant", "type": "message"}
        return {**who, "status": status, "content": content}

    def _top(self, status: str) -> dict[str, Any]:
        read, made = len(json.dumps(self._call).split()), len(self._pieces)
        counts = {
            "input_tokens": read,
            "output_tokens": made,
            "total_tokens": read + made,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }
        return {
            "id": "resp_fake1",
            "object": "response",
            "created_at": int(time.time()),
            "status": status,
            "model": self._call["model"],
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": self._call.get("tools") or [],
            "usage": counts if status == "completed" else None,
        }


class AgentsLink(Link[AgentsNode]):
    """One connection."""

    def complaint(self) -> bytes:
        return b'{"type":"error","error":{"type":"api_error","message":"told by the fake"}}'

    async def respond(self, seen: Seen, faults: Faults) -> None:
        call = json.loads(seen.body or b"{}")
        if seen.route == "/v1/models":
            listed = [
                {"id": name, "object": "model", "owned_by": "me"} for name in self.node.models
            ]
            await self._say(seen, 200, {"object": "list", "data": listed}, faults)
        elif seen.route not in (MESSAGES, COUNT, RESPONSES):
            await self.plain(seen, 404, b"404 page not found", faults, kind="text/plain")
        elif call["model"] not in self.node.models:
            told = {"type": "not_found_error", "message": f"model '{call['model']}' not found"}
            await self._say(seen, 404, {"type": "error", "error": told}, faults)
        elif seen.route == COUNT:
            read = len(json.dumps(call).split())
            await self._say(seen, 200, {"input_tokens": read}, faults)
        else:
            kind = Message if seen.route == MESSAGES else Response
            await self._speak(seen, kind(call, self.node.tokens), bool(call.get("stream")), faults)

    async def _say(self, seen: Seen, status: int, said: object, faults: Faults) -> None:
        await self.plain(seen, status, json.dumps(said).encode(), faults)

    async def _speak(
        self, seen: Seen, said: Message | Response, streamed: bool, faults: Faults
    ) -> None:
        if streamed:
            stream = Stream(self, seen, faults)
            for number, (name, event) in enumerate(said.events()):
                told = {"type": name, "sequence_number": number, **event}
                await stream.send(f"event: {name}\ndata: {json.dumps(told)}\n\n".encode())
                await asyncio.sleep(faults.token_delay)
            await stream.end()
        else:
            await self._say(seen, 200, said.whole(), faults)
        self.node.state.finished.append(time.monotonic())


class FakeAgentsNode(FakeServer):
    """The server. See the module's docstring."""

    link = AgentsLink
    work = frozenset({MESSAGES, RESPONSES})

    def __init__(
        self,
        *,
        models: Sequence[str] = ("agents-chat",),
        tokens: Sequence[str] = ("Hello", " from", " the", " fake", "."),
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(slots=4, port=port, host=host)
        self.models = list(models)
        self.tokens = list(tokens)


if __name__ == "__main__":
    with FakeAgentsNode() as node:
        print(node.url, flush=True)
        input()
