"""What a node of the other protocol is asked."""

import json
from typing import Any

from dpl_router.conversation import Api, ChatRequest
from dpl_router.upstreams.base import Request
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect

PNG = "iVBORw0KGgo"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "time"}}
HI = [{"role": "user", "content": "hi"}]


def request(api: Api, body: dict[str, Any], *, stream: bool = False) -> Request:
    """As the dialect of the other protocol makes it."""
    dialect = OllamaDialect() if api.startswith("openai") else OpenAiDialect()
    data = json.dumps({"model": "mine", "stream": stream, **body}).encode()
    return dialect.request(ChatRequest("r1", "mine", data, stream, False, 1, api=api), "theirs")


def sent(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    """Without what every body has."""
    said: dict[str, Any] = json.loads(request(api, body).body)
    assert said.pop("model") == "theirs"
    said.pop("stream", None)
    return said
