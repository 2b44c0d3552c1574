"""The official OpenAI client, versions 2 and 3."""

from typing import Any

import openai
from openai import OpenAI

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
    Weather,
    answer,
    refused,
    run,
    vectors,
)


def client(target: Target) -> Any:
    return OpenAI(base_url=f"{target.url}/v1", api_key="none", timeout=60)


def create(target: Target, feature: str, **fields: Any) -> Any:
    asked = {"model": target.chat, "messages": target.messages(feature), "max_tokens": MOST}
    return client(target).chat.completions.create(**{**asked, **fields})


def chat(target: Target) -> object:
    said = create(target, "chat")
    usage, choice = said.usage, said.choices[0]
    assert said.model == target.chat
    return answer(
        choice.message.content, choice.finish_reason, usage.prompt_tokens, usage.completion_tokens
    )


def stream(target: Target) -> object:
    pieces = []
    for chunk in create(target, "stream", stream=True):
        assert chunk.usage is None
        pieces.append(chunk.choices[0].delta.content or "")
    return {"pieces": [piece for piece in pieces if piece]}


def usage(target: Target) -> object:
    chunks = list(create(target, "usage", stream=True, stream_options={"include_usage": True}))
    told = [chunk.usage for chunk in chunks if chunk.usage]
    assert len(told) == 1
    assert chunks[-1].choices == []
    return {"usage": [told[0].prompt_tokens, told[0].completion_tokens]}


def completion(target: Target) -> object:
    said = client(target).completions.create(
        model=target.chat, prompt=target.question("completion"), max_tokens=MOST
    )
    usage, choice = said.usage, said.choices[0]
    return answer(choice.text, choice.finish_reason, usage.prompt_tokens, usage.completion_tokens)


def options(target: Target) -> object:
    stopped = create(target, "options", stop=[STOP], seed=SEED, temperature=0)
    cut = create(target, "options", max_tokens=2, seed=SEED).choices[0]
    return {
        "stopped": stopped.choices[0].message.content,
        "cut": cut.message.content,
        "finish": cut.finish_reason,
    }


def tools(target: Target) -> object:
    said = create(target, "tools", tools=[WEATHER]).choices[0]
    call = said.message.tool_calls[0]
    turn = [
        *target.messages("tools"),
        said.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    after = create(target, "tools", messages=turn).choices[0].message.content
    return {"name": call.function.name, "arguments": call.function.arguments, "after": after}


def tool_stream(target: Target) -> object:
    """With the helper that puts the pieces together."""
    asked = {"model": target.chat, "messages": target.messages("tool_stream")}
    with client(target).chat.completions.stream(
        **asked, tools=[openai.pydantic_function_tool(Weather, name="weather")]
    ) as events:
        whole = events.get_final_completion().choices[0]
    function = whole.message.tool_calls[0].function
    assert whole.finish_reason == "tool_calls"
    return {"name": function.name, "arguments": function.arguments}


def schema(target: Target) -> object:
    said = client(target).chat.completions.parse(
        model=target.chat,
        messages=target.messages("schema"),
        response_format=Light,
        max_tokens=ROOMY,
    )
    return {"parsed": said.choices[0].message.parsed.model_dump()}


def image(target: Target) -> object:
    parts = [
        {"type": "text", "text": target.question("image")},
        {"type": "image_url", "image_url": {"url": DATA_URL}},
    ]
    said = create(target, "image", messages=[{"role": "user", "content": parts}])
    return {"text": said.choices[0].message.content}


def thinking(target: Target) -> object:
    """`reasoning_content` is DeepSeek's name and ours, `reasoning` that of newer servers."""
    said = create(target, "thinking", model=target.think).choices[0].message
    thought = getattr(said, "reasoning_content", None) or getattr(said, "reasoning", None)
    return {"thinking": thought, "text": said.content}


def embeddings(target: Target) -> object:
    """The client asks for base64."""
    said = client(target).embeddings.create(model=target.embed, input=["red", "a blue light"])
    return vectors(one.embedding for one in sorted(said.data, key=lambda one: one.index))


def models(target: Target) -> object:
    known = [one.id for one in client(target).models.list()]
    assert client(target).models.retrieve(target.chat).id == target.chat
    return {"models": known}


def unknown(target: Target) -> object:
    return refused(lambda: create(target, "unknown", model=NOWHERE))


def hang_up(target: Target) -> object:
    events = create(target, "hang_up", model=target.slow, max_tokens=None, stream=True)
    first = next(iter(events))
    events.close()
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
            "models": models,
            "unknown": unknown,
            "hang_up": hang_up,
        }
    )
