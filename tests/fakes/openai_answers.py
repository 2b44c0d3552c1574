"""What the fake OpenAI server says when nothing is wrong: chats, and llama.cpp's pages."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

from tests.fakes.faults import Faults, Seen, State

ARGUMENTS = ('{"city"', ': "Par', 'is"}')


class Node(Protocol):
    """The server, as its answers know it."""

    model: str
    tokens: list[str]
    slots: int
    api_key: str
    faults: Faults
    state: State

    def next_id(self) -> str: ...


class Generation:
    """One chat call and the answer to it. Raises: ValueError for a call that is none."""

    def __init__(self, node: Node, seen: Seen) -> None:
        self._node = node
        call = json.loads(seen.body)
        if not isinstance(call, dict) or not isinstance(call.get("messages"), list):
            raise ValueError("'messages' is required")
        self.stream = bool(call.get("stream"))
        self.wants_usage = bool((call.get("stream_options") or {}).get("include_usage"))
        self.model = call.get("model") or node.model
        self._id = node.next_id()
        self._created = int(time.time())
        self._tool = self._first_tool(call)
        words = list(ARGUMENTS) if self._tool else node.tokens
        most = call.get("max_tokens") or call.get("max_completion_tokens") or len(words)
        self._words = words[:most]
        self.finish = "length" if most < len(words) else ("tool_calls" if self._tool else "stop")
        self._prompt = max(1, len(seen.body) // 4)

    @staticmethod
    def _first_tool(call: dict[str, Any]) -> str:
        tools = call.get("tools") or []
        answered = call["messages"][-1:] and call["messages"][-1].get("role") == "tool"
        if not tools or answered or call.get("tool_choice") == "none":
            return ""
        return str(tools[0]["function"]["name"])

    async def steps(self, faults: Faults) -> AsyncIterator[dict[str, Any]]:
        await asyncio.sleep(faults.first_delay)
        self._node.state.prompt_tokens += self._prompt
        for at, word in enumerate(self._words):
            if at:
                await asyncio.sleep(faults.token_delay)
            self._node.state.predicted_tokens += 1
            yield self._tool_delta(at, word) if self._tool else {"content": word}

    def _tool_delta(self, at: int, word: str) -> dict[str, Any]:
        function: dict[str, Any] = {"arguments": word}
        part: dict[str, Any] = {"index": 0, "function": function}
        if at == 0:
            function["name"] = self._tool
            part |= {"id": "call_fake1", "type": "function"}
        return {"content": None, "tool_calls": [part]}

    def _top(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "choices": choices,
            "created": self._created,
            "id": self._id,
            "model": self.model,
            "system_fingerprint": "fake",
            "object": kind,
        }

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"finish_reason": finish, "index": 0, "delta": delta}
        return self._top("chat.completion.chunk", [choice])

    def usage_chunk(self) -> dict[str, Any]:
        return self._top("chat.completion.chunk", []) | self._counts()

    def error(self) -> dict[str, Any]:
        return {"error": {"message": "Compute error.", "type": "server_error", "code": 500}}

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._words)}
        if self._tool:
            function = {"name": self._tool, "arguments": "".join(self._words)}
            call = {"id": "call_fake1", "type": "function", "function": function}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"finish_reason": self.finish, "index": 0, "message": message}
        return self._top("chat.completion", [choice]) | self._counts()

    def _counts(self) -> dict[str, Any]:
        made = len(self._words)
        return {
            "usage": {
                "completion_tokens": made,
                "prompt_tokens": self._prompt,
                "total_tokens": made + self._prompt,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
            "timings": {
                "cache_n": 0,
                "prompt_n": self._prompt,
                "prompt_ms": self._prompt * 0.5,
                "predicted_n": made,
                "predicted_ms": made * 8.0,
            },
        }


def page(node: Node, seen: Seen) -> tuple[int, bytes, str]:
    """(status, body, content type) of everything that is no chat."""
    path = seen.path.partition("?")[0]
    if path == "/metrics":
        return 200, exposition(node).encode(), "text/plain; version=0.0.4"
    said = documents(node).get(path)
    if said is None:
        error = {"message": "File Not Found", "type": "not_found_error", "code": 404}
        return 404, json.dumps({"error": error}).encode(), "application/json; charset=utf-8"
    return 200, json.dumps(said).encode(), "application/json; charset=utf-8"


def documents(node: Node) -> dict[str, Any]:
    state = node.state
    slots = [
        {"id": at, "n_ctx": 4096, "speculative": False, "is_processing": at < state.running}
        for at in range(node.slots)
    ]
    model = {
        "id": node.model,
        "object": "model",
        "created": 1795630374,
        "owned_by": "llamacpp",
        "meta": {"n_ctx": 4096, "n_ctx_train": 8192, "n_params": 6515136, "size": 26060544},
    }
    return {
        "/health": {"status": "ok"},
        "/v1/models": {"object": "list", "data": [model]},
        "/slots": slots,
        "/props": {
            "default_generation_settings": {"n_ctx": 4096},
            "total_slots": node.slots,
            "model_alias": node.model,
            "model_path": f"models/{node.model}.gguf",
            "endpoint_slots": True,
            "endpoint_metrics": True,
            "build_info": "b0-fake",
            "is_sleeping": False,
        },
    }


def exposition(node: Node) -> str:
    """The series of llama.cpp's /metrics that the exporter reads."""
    state = node.state
    rows = (
        ("prompt_tokens_total", "counter", state.prompt_tokens),
        ("prompt_seconds_total", "counter", state.prompt_tokens * 0.0005),
        ("tokens_predicted_total", "counter", state.predicted_tokens),
        ("tokens_predicted_seconds_total", "counter", state.predicted_tokens * 0.008),
        ("n_decode_total", "counter", state.predicted_tokens),
        ("requests_processing", "gauge", state.running),
        ("requests_deferred", "gauge", state.open - state.running),
    )
    return "".join(
        f"# HELP llamacpp:{name} Told by the fake.\n# TYPE llamacpp:{name} {kind}\n"
        f"llamacpp:{name} {value}\n"
        for name, kind, value in rows
    )
