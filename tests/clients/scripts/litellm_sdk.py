"""LiteLLM as a library: `python -m tests.clients.scripts.litellm_sdk openai|ollama_chat`."""

import sys
from typing import Any

import litellm  # type: ignore[import-not-found] # in its own environment

from tests.clients.scripts.reporting import (
    DATA_URL,
    MOST,
    NOWHERE,
    ROOMY,
    SEED,
    STOP,
    WEATHER,
    Light,
    Target,
    answer,
    refused,
    run,
    vectors,
)

PROVIDER = sys.argv[1] if sys.argv[1:] else "openai"
OPENAI = PROVIDER == "openai"


def there(target: Target, model: str) -> dict[str, Any]:
    url = f"{target.url}/v1" if OPENAI else target.url
    return {"model": f"{PROVIDER}/{model}", "api_base": url, "api_key": "none"}


def create(target: Target, feature: str, model: str = "", **fields: Any) -> Any:
    asked = {"messages": target.messages(feature), "max_tokens": MOST, "timeout": 60}
    return litellm.completion(**{**there(target, model or target.chat), **asked, **fields})


def chat(target: Target) -> object:
    said = create(target, "chat")
    usage, choice = said.usage, said.choices[0]
    return answer(
        choice.message.content, choice.finish_reason, usage.prompt_tokens, usage.completion_tokens
    )


def stream(target: Target) -> object:
    pieces = [chunk.choices[0].delta.content for chunk in create(target, "stream", stream=True)]
    return {"pieces": [piece for piece in pieces if piece]}


def usage(target: Target) -> object:
    chunks = create(target, "usage", stream=True, stream_options={"include_usage": True})
    told = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    return {"usage": [told[-1].prompt_tokens, told[-1].completion_tokens]}


def completion(target: Target) -> object:
    """In Ollama's words that is /api/generate, under another name of the provider."""
    ask = target.question("completion")
    asked = there(target, target.chat) | {"max_tokens": MOST}
    if OPENAI:
        asked["model"] = f"text-completion-openai/{target.chat}"
        return {"text": litellm.text_completion(**asked, prompt=ask).choices[0].text}
    asked["model"] = f"ollama/{target.chat}"
    said = litellm.completion(**asked, messages=[{"role": "user", "content": ask}])
    return {"text": said.choices[0].message.content}


def options(target: Target) -> object:
    stopped = create(target, "options", stop=[STOP], seed=SEED)
    cut = create(target, "options", max_tokens=2, seed=SEED).choices[0]
    return {
        "stopped": stopped.choices[0].message.content,
        "cut": cut.message.content,
        "finish": cut.finish_reason,
    }


def tools(target: Target) -> object:
    said = create(target, "tools", tools=[WEATHER]).choices[0].message
    call = said.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    turn = [*target.messages("tools"), said.model_dump(exclude_none=True), result]
    after = create(target, "tools", messages=turn).choices[0].message.content
    return {"name": call.function.name, "arguments": call.function.arguments, "after": after}


def tool_stream(target: Target) -> object:
    chunks = list(create(target, "tool_stream", tools=[WEATHER], stream=True))
    whole = litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls[0].function
    return {"name": whole.name, "arguments": whole.arguments}


def schema(target: Target) -> object:
    said = (
        create(target, "schema", response_format=Light, max_tokens=ROOMY).choices[0].message.content
    )
    return {"parsed": Light.model_validate_json(said).model_dump()}


def image(target: Target) -> object:
    parts = [
        {"type": "text", "text": target.question("image")},
        {"type": "image_url", "image_url": {"url": DATA_URL}},
    ]
    said = create(target, "image", messages=[{"role": "user", "content": parts}])
    return {"text": said.choices[0].message.content}


def thinking(target: Target) -> object:
    said = create(target, "thinking", target.think).choices[0].message
    return {"thinking": said.reasoning_content, "text": said.content}


def embeddings(target: Target) -> object:
    provider = "openai" if OPENAI else "ollama"
    asked = there(target, target.embed) | {"model": f"{provider}/{target.embed}"}
    said = litellm.embedding(**asked, input=["red", "a blue light"])
    return vectors(one["embedding"] for one in said.data)


def unknown(target: Target) -> object:
    return refused(lambda: create(target, "unknown", NOWHERE))


def hang_up(target: Target) -> object:
    chunks = create(target, "hang_up", target.slow, max_tokens=None, stream=True)
    first = next(iter(chunks))
    chunks.completion_stream.close()
    return {"first": first.object}


if __name__ == "__main__":
    run(
        {
            "chat": chat,
            "stream": stream,
            "usage": usage,
            "completion": completion,
            "options": options,
            "tools": tools,
            "tool_stream": tool_stream,
            "schema": schema,
            "image": image,
            "thinking": thinking,
            "embeddings": embeddings,
            "unknown": unknown,
            "hang_up": hang_up,
        }
    )
