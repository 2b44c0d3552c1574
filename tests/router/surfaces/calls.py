"""What the tests of the surfaces ask, and how they read what they hear."""

import json
from collections.abc import Mapping
from typing import Any

SMOL = "smollm2:135m"
SAY = [{"role": "user", "content": "hello"}]
SAID = "Hello from the fake."

Body = Mapping[str, Any]

OPENAI_CHAT = ("/v1/chat/completions", {"messages": SAY})
OPENAI_COMPLETION = ("/v1/completions", {"prompt": "hello"})
OLLAMA_CHAT = ("/api/chat", {"messages": SAY})
OLLAMA_GENERATE = ("/api/generate", {"prompt": "hello"})
TEXT_CALLS = (OPENAI_CHAT, OPENAI_COMPLETION, OLLAMA_CHAT, OLLAMA_GENERATE)


def events(text: str) -> list[Any]:
    """The data of server-sent events; [DONE] as the word."""
    data = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


def records(text: str) -> list[Any]:
    """The lines of an Ollama stream."""
    return [json.loads(line) for line in text.split("\n") if line]


def said_in(text: str) -> str:
    """The words of a streamed answer, whichever protocol it is in."""
    parts: list[str] = []
    for one in records(text) if text.startswith("{") else events(text):
        if one == "[DONE]" or "error" in one:
            continue
        choice = (one.get("choices") or [{}])[0]
        message = one.get("message") or choice.get("delta") or {}
        parts.append(message.get("content") or one.get("response") or choice.get("text") or "")
    return "".join(parts)
