"""Ollama's own Python client."""

from typing import Any

from ollama import Client  # type: ignore[import-not-found] # in its own environment

from tests.clients.scripts.reporting import (
    MOST,
    NOWHERE,
    PNG,
    ROOMY,
    SEED,
    STOP,
    Light,
    Target,
    answer,
    refused,
    run,
    vectors,
)


def client(target: Target) -> Any:
    return Client(host=target.url, timeout=60)


def ask(target: Target, feature: str, **fields: Any) -> Any:
    asked = {"model": target.chat, "messages": target.messages(feature)}
    return client(target).chat(**{**asked, "options": {"num_predict": MOST}, **fields})


def weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
        city: its name
    """
    return f"rain in {city}"


def chat(target: Target) -> object:
    said = ask(target, "chat")
    assert said.model == target.chat
    assert said.total_duration > 0
    return answer(said.message.content, said.done_reason, said.prompt_eval_count, said.eval_count)


def stream(target: Target) -> object:
    pieces = [part.message.content for part in ask(target, "stream", stream=True)]
    return {"pieces": [piece for piece in pieces if piece]}


def usage(target: Target) -> object:
    last = list(ask(target, "usage", stream=True))[-1]
    assert last.done
    return {"usage": [last.prompt_eval_count, last.eval_count]}


def completion(target: Target) -> object:
    said = client(target).generate(
        target.chat, target.question("completion"), options={"num_predict": MOST}
    )
    return answer(said.response, said.done_reason, said.prompt_eval_count, said.eval_count)


def options(target: Target) -> object:
    held = {"seed": SEED, "temperature": 0}
    stopped = ask(target, "options", options={**held, "num_predict": MOST, "stop": [STOP]})
    cut = ask(target, "options", options={**held, "num_predict": 2})
    return {
        "stopped": stopped.message.content,
        "cut": cut.message.content,
        "finish": cut.done_reason,
    }


def tools(target: Target) -> object:
    said = ask(target, "tools", tools=[weather])
    call = said.message.tool_calls[0].function
    result = {"role": "tool", "tool_name": call.name, "content": "rain"}
    after = ask(target, "tools", messages=[*target.messages("tools"), said.message, result])
    return {"name": call.name, "arguments": call.arguments, "after": after.message.content}


def tool_stream(target: Target) -> object:
    parts = list(ask(target, "tool_stream", tools=[weather], stream=True))
    call = next(part.message.tool_calls[0] for part in parts if part.message.tool_calls).function
    return {"name": call.name, "arguments": call.arguments}


def schema(target: Target) -> object:
    said = ask(target, "schema", format=Light.model_json_schema(), options={"num_predict": ROOMY})
    return {"parsed": Light.model_validate_json(said.message.content).model_dump()}


def image(target: Target) -> object:
    message = {"role": "user", "content": target.question("image"), "images": [PNG]}
    return {"text": ask(target, "image", messages=[message]).message.content}


def thinking(target: Target) -> object:
    said = ask(target, "thinking", model=target.think, think=True).message
    return {"thinking": said.thinking, "text": said.content}


def embeddings(target: Target) -> object:
    return vectors(client(target).embed(target.embed, ["red", "a blue light"]).embeddings)


def models(target: Target) -> object:
    known = [one.model for one in client(target).list().models]
    assert client(target).show(target.chat).details is not None
    assert isinstance(client(target).ps().models, list)
    return {"models": known}


def unknown(target: Target) -> object:
    return refused(lambda: ask(target, "unknown", model=NOWHERE))


def hang_up(target: Target) -> object:
    parts = ask(target, "hang_up", model=target.slow, options={}, stream=True)
    first = next(parts)
    parts.close()
    return {"first": first.message.content}


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
