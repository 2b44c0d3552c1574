"""What tests of a chat say and read."""

import json
from typing import Any

HELLO = [{"role": "user", "content": "hello"}]
PATH = "/v1/chat/completions"


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": HELLO, **fields}


def events(text: str) -> list[Any]:
    """The data of a stream of server-sent events; [DONE] as the word."""
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def text_of(chunks: list[Any]) -> str:
    parts = [c["choices"][0]["delta"].get("content") or "" for c in chunks if c != "[DONE]"]
    return "".join(parts)
