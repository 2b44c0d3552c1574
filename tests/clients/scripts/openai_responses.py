"""The official OpenAI client on /v1/responses of a node that has it, as Codex-style agents do."""

from typing import Any

from openai import OpenAI

from tests.clients.scripts.reporting import MOST, NOWHERE, Target, answer, refused, run

TOOL = {
    "type": "function",
    "name": "weather",
    "description": "Tell the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def create(target: Target, feature: str, **fields: Any) -> Any:
    client: Any = OpenAI(base_url=f"{target.url}/v1", api_key="none", timeout=60)
    asked = {"model": target.chat, "input": target.question(feature), "max_output_tokens": MOST}
    return client.responses.create(**{**asked, **fields})


def chat(target: Target) -> object:
    said = create(target, "chat")
    usage = said.usage
    return answer(said.output_text, said.status, usage.input_tokens, usage.output_tokens)


def stream(target: Target) -> object:
    events = create(target, "stream", stream=True)
    return {"pieces": [one.delta for one in events if one.type == "response.output_text.delta"]}


def usage(target: Target) -> object:
    told = list(create(target, "usage", stream=True))[-1].response.usage
    return {"usage": [told.input_tokens, told.output_tokens]}


def tools(target: Target) -> object:
    said = create(target, "tools", tools=[TOOL])
    call = said.output[-1]
    turn = [
        {"role": "user", "content": target.question("tools")},
        *[one.model_dump(exclude_none=True) for one in said.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    after = create(target, "tools", input=turn, tools=[TOOL]).output_text
    return {"name": call.name, "arguments": call.arguments, "after": after}


def tool_stream(target: Target) -> object:
    events = list(create(target, "tool_stream", tools=[TOOL], stream=True))
    arguments = "".join(
        one.delta for one in events if one.type == "response.function_call_arguments.delta"
    )
    call = events[-1].response.output[-1]
    assert call.arguments == arguments
    return {"name": call.name, "arguments": arguments}


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
            "tools": tools,
            "tool_stream": tool_stream,
            "unknown": unknown,
            "hang_up": hang_up,
        }
    )
