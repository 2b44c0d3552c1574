"""The official Anthropic client, on /v1/messages of a node that has it."""

from typing import Any

from anthropic import Anthropic  # type: ignore[import-not-found] # in its own environment

from tests.clients.scripts.reporting import (
    MOST,
    NOWHERE,
    PNG,
    STOP,
    Target,
    answer,
    refused,
    run,
)

TOOL = {
    "name": "weather",
    "description": "Tell the weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def client(target: Target) -> Any:
    return Anthropic(base_url=target.url, api_key="none", timeout=60)


def asked(target: Target, feature: str, **fields: Any) -> dict[str, Any]:
    usual = {"model": target.chat, "messages": target.messages(feature), "max_tokens": MOST}
    return {**usual, **fields}


def create(target: Target, feature: str, **fields: Any) -> Any:
    return client(target).messages.create(**asked(target, feature, **fields))


def chat(target: Target) -> object:
    said = create(target, "chat")
    usage = said.usage
    counted = client(target).messages.count_tokens(
        model=target.chat, messages=target.messages("chat")
    )
    assert counted.input_tokens > 0
    return answer(said.content[0].text, said.stop_reason, usage.input_tokens, usage.output_tokens)


def stream(target: Target) -> object:
    with client(target).messages.stream(**asked(target, "stream")) as events:
        pieces = list(events.text_stream)
        assert events.get_final_text() == "".join(pieces)
    return {"pieces": pieces}


def usage(target: Target) -> object:
    with client(target).messages.stream(**asked(target, "usage")) as events:
        told = events.get_final_message().usage
    return {"usage": [told.input_tokens, told.output_tokens]}


def options(target: Target) -> object:
    stopped = create(target, "options", stop_sequences=[STOP])
    cut = create(target, "options", max_tokens=2)
    return {
        "stopped": stopped.content[0].text,
        "cut": cut.content[0].text,
        "finish": cut.stop_reason,
    }


def tools(target: Target) -> object:
    said = create(target, "tools", tools=[TOOL])
    call = said.content[-1]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    turn = [
        *target.messages("tools"),
        {"role": "assistant", "content": said.content},
        {"role": "user", "content": [result]},
    ]
    after = create(target, "tools", tools=[TOOL], messages=turn).content[0].text
    return {"name": call.name, "arguments": call.input, "after": after}


def tool_stream(target: Target) -> object:
    with client(target).messages.stream(**asked(target, "tool_stream", tools=[TOOL])) as events:
        call = events.get_final_message().content[-1]
    return {"name": call.name, "arguments": call.input}


def image(target: Target) -> object:
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    parts = [
        {"type": "image", "source": source},
        {"type": "text", "text": target.question("image")},
    ]
    said = create(target, "image", messages=[{"role": "user", "content": parts}])
    return {"text": said.content[0].text}


def thinking(target: Target) -> object:
    wanted = {"type": "enabled", "budget_tokens": 1024}
    said = create(target, "thinking", thinking=wanted, max_tokens=2048)
    return {"thinking": said.content[0].thinking, "text": said.content[1].text}


def models(target: Target) -> object:
    return {"models": [one.id for one in client(target).models.list()]}


def unknown(target: Target) -> object:
    return refused(lambda: create(target, "unknown", model=NOWHERE))


def hang_up(target: Target) -> object:
    events = create(target, "hang_up", model=target.slow, stream=True)
    first = next(iter(events))
    events.close()
    return {"first": first.type}


if __name__ == "__main__":
    run(
        {
            "chat": chat,
            "stream": stream,
            "usage": usage,
            "options": options,
            "tools": tools,
            "tool_stream": tool_stream,
            "image": image,
            "thinking": thinking,
            "models": models,
            "unknown": unknown,
            "hang_up": hang_up,
        }
    )
