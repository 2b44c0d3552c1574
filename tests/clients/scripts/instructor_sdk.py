"""instructor over the OpenAI client: answers as objects."""

from typing import Any

import instructor  # type: ignore[import-not-found] # in its own environment
from openai import OpenAI

from tests.clients.scripts.reporting import NOWHERE, Light, Target, Weather, refused, run


def create(target: Target, feature: str, mode: Any, wanted: Any, **fields: Any) -> Any:
    raw = OpenAI(base_url=f"{target.url}/v1", api_key="none", timeout=60)
    asked = {"model": target.chat, "messages": target.messages(feature), "max_retries": 1}
    client = instructor.from_openai(raw, mode=mode)
    return client.chat.completions.create(**{**asked, "response_model": wanted, **fields})


def tools(target: Target) -> object:
    """It makes the model call a tool that is named after the object."""
    said = create(target, "tools", instructor.Mode.TOOLS, Weather)
    return {"name": "weather", "arguments": said.model_dump()}


def tool_stream(target: Target) -> object:
    """Parts of the object, while it comes."""
    wanted = instructor.Partial[Weather]
    parts = list(create(target, "tool_stream", instructor.Mode.TOOLS, wanted, stream=True))
    return {"name": "weather", "arguments": parts[-1].model_dump()}


def schema(target: Target) -> object:
    said = create(target, "schema", instructor.Mode.JSON_SCHEMA, Light)
    return {"parsed": said.model_dump()}


def unknown(target: Target) -> object:
    mode = instructor.Mode.JSON_SCHEMA
    return refused(lambda: create(target, "unknown", mode, Light, model=NOWHERE))


if __name__ == "__main__":
    run({"tools": tools, "tool_stream": tool_stream, "schema": schema, "unknown": unknown})
