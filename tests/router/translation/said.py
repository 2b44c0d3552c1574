"""One answer, as a node of either protocol says it and as a client of either hears it.

Written from the recordings and the documentations, apart from the code under test.
"""

import base64
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from dpl_router.conversation import Api

LOGPROBS = (
    {"token": "Hel", "logprob": -0.5, "bytes": [72, 101, 108], "top_logprobs": []},
    {"token": "lo", "logprob": -1.5, "bytes": [108, 111], "top_logprobs": []},
)


@dataclass(frozen=True)
class Tool:
    name: str
    arguments: dict[str, Any]
    id: str = ""
    """Empty: the node tells none; a client must hear one all the same, if it speaks OpenAI."""
    index: int = 0
    """As a client heard it."""


@dataclass(frozen=True)
class Said:
    """What is said, in whatever protocol."""

    texts: tuple[str, ...] = ("Hel", "lo")
    thoughts: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    logprobs: tuple[dict[str, Any], ...] = ()
    finish: str = "stop"
    """`stop` or `length`: what both protocols have a word for."""
    prompt_tokens: int = 9
    completion_tokens: int = 5
    vectors: tuple[tuple[float, ...], ...] = ()

    @property
    def text(self) -> str:
        return "".join(self.texts)


@dataclass
class Heard:
    """What a client makes of the bytes that it got."""

    text: str = ""
    thinking: str = ""
    tools: list[Tool] = field(default_factory=list)
    logprobs: list[tuple[str, float]] = field(default_factory=list)
    finishes: list[str] = field(default_factory=list)
    usage: tuple[int, int] | None = None
    models: set[str] = field(default_factory=set)
    vectors: list[Any] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    """The last object, or the only one."""


def dumped(value: Any) -> bytes:
    """Nothing escaped that need not be: U+2028 and its like stand there as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# What nodes say.


def openai_chat(said: Said, *, stream: bool) -> bytes:
    usage = counted(said)
    tools = [openai_tool(at, tool) for at, tool in enumerate(said.tools)]
    finish = "tool_calls" if said.tools and said.finish == "stop" else said.finish
    if not stream:
        message: dict[str, Any] = {"role": "assistant", "content": said.text}
        if said.thoughts:
            message["reasoning_content"] = "".join(said.thoughts)
        if tools:
            message["tool_calls"] = tools
        choice = {"index": 0, "message": message, "finish_reason": finish}
        if said.logprobs:
            choice["logprobs"] = {"content": list(said.logprobs)}
        top = {"id": "x", "object": "chat.completion", "created": 7, "model": "node-m"}
        return dumped({**top, "choices": [choice], "usage": usage})
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": thought} for thought in said.thoughts]
    deltas += [{"content": text} for text in said.texts]
    for at, tool in enumerate(tools):
        deltas += [{"tool_calls": [{"index": at, **part}]} for part in fragments(tool)]
    chunks = [openai_chunk([{"index": 0, "delta": one, "finish_reason": None}]) for one in deltas]
    for chunk, one in zip(chunks[1:], said.logprobs, strict=False):
        chunk["choices"][0]["logprobs"] = {"content": [one]}
    chunks.append(openai_chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
    return sse([*chunks, openai_chunk([], usage=usage)])


def openai_chunk(choices: list[Any], **more: Any) -> dict[str, Any]:
    top = {"id": "x", "object": "chat.completion.chunk", "created": 7, "model": "node-m"}
    return {**top, "choices": choices, **more}


def openai_tool(at: int, tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "arguments": json.dumps(tool.arguments)}
    return {"id": tool.id or f"call_{at}", "type": "function", "function": function}


def fragments(tool: dict[str, Any]) -> list[dict[str, Any]]:
    """As servers stream one: its name, then its arguments in pieces."""
    function = tool["function"]
    text, half = function["arguments"], len(function["arguments"]) // 2
    begun = {**tool, "function": {"name": function["name"], "arguments": ""}}
    return [begun, *({"function": {"arguments": part}} for part in (text[:half], text[half:]))]


def openai_completion(said: Said, *, stream: bool) -> bytes:
    top = {"id": "x", "object": "text_completion", "created": 7, "model": "node-m"}
    usage = counted(said)
    if not stream:
        choice = {"text": said.text, "index": 0, "finish_reason": said.finish}
        choice["logprobs"] = columns(said.logprobs) if said.logprobs else None
        return dumped({**top, "choices": [choice], "usage": usage})
    parts: list[dict[str, Any]] = [
        {"text": text, "index": 0, "logprobs": None, "finish_reason": None} for text in said.texts
    ]
    for part, one in zip(parts, said.logprobs, strict=False):
        part["logprobs"] = columns((one,))
    parts.append({"text": "", "index": 0, "logprobs": None, "finish_reason": said.finish})
    chunks = [{**top, "choices": [part]} for part in parts]
    return sse([*chunks, {**top, "choices": [], "usage": usage}])


def columns(logprobs: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    return {
        "tokens": [one["token"] for one in logprobs],
        "token_logprobs": [one["logprob"] for one in logprobs],
        "top_logprobs": [{} for _ in logprobs],
        "text_offset": [0 for _ in logprobs],
    }


def openai_embeddings(said: Said, *, base64_wanted: bool) -> bytes:
    """Last first: a client must get them in the order of its inputs."""
    data = [
        {"object": "embedding", "index": at, "embedding": spelt(one) if base64_wanted else one}
        for at, one in enumerate(said.vectors)
    ]
    usage = {"prompt_tokens": said.prompt_tokens, "total_tokens": said.prompt_tokens}
    return dumped({"object": "list", "data": data[::-1], "model": "node-m", "usage": usage})


def spelt(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def ollama_answer(said: Said, *, stream: bool, chat: bool) -> bytes:
    tools = [
        {"id": tool.id, "function": {"index": at, "name": tool.name, "arguments": tool.arguments}}
        for at, tool in enumerate(said.tools)
    ]
    counts = {
        "total_duration": 900_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": said.prompt_tokens,
        "prompt_eval_duration": 90_000_000,
        "eval_count": said.completion_tokens,
        "eval_duration": 400_000_000,
    }
    done = {"done": True, "done_reason": said.finish}
    if not stream:
        thinking = "".join(said.thoughts)
        whole = ollama_record(said.text, thinking, tools, chat=chat) | done
        if said.logprobs:
            whole["logprobs"] = list(said.logprobs)
        return dumped(whole | counts)
    records = [ollama_record("", thought, chat=chat) for thought in said.thoughts]
    texts = [ollama_record(text, chat=chat) for text in said.texts]
    for record, one in zip(texts, said.logprobs, strict=False):
        record["logprobs"] = [one]
    records += texts
    records += [ollama_record("", tools=[tool], chat=chat) for tool in tools]
    records.append(ollama_record("", chat=chat) | done | counts)
    return b"".join(dumped(record) + b"\n" for record in records)


def ollama_record(
    text: str, thinking: str = "", tools: list[Any] | None = None, *, chat: bool
) -> dict[str, Any]:
    more: dict[str, Any] = {"thinking": thinking} if thinking else {}
    top = {"model": "node-m", "created_at": "2026-11-25T18:17:58.492641135Z"}
    if not chat:
        return {**top, "response": text, **more, "done": False}
    more |= {"tool_calls": tools} if tools else {}
    message = {"role": "assistant", "content": text, **more}
    return {**top, "message": message, "done": False}


def ollama_embeddings(said: Said, *, single: bool) -> bytes:
    if single:
        return dumped({"embedding": said.vectors[0]})
    counts = {"total_duration": 9, "load_duration": 1, "prompt_eval_count": said.prompt_tokens}
    return dumped({"model": "node-m", "embeddings": said.vectors, **counts})


def counted(said: Said) -> dict[str, int]:
    prompt, written = said.prompt_tokens, said.completion_tokens
    total = {"total_tokens": prompt + written}
    return {"prompt_tokens": prompt, "completion_tokens": written, **total}


def sse(chunks: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: " + dumped(one) + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"


# What clients hear.


def heard(api: Api, data: bytes, *, stream: bool) -> Heard:
    if not stream:
        objects = [json.loads(data)]
    elif api.startswith("openai"):
        events = data.decode().split("\n\n")
        assert events.pop() == ""
        objects = [json.loads(event.removeprefix("data: ")) for event in events]
    else:
        lines = data.decode().split("\n")
        assert lines.pop() == ""
        objects = [json.loads(line) for line in lines]
    answer = Heard(last=objects[-1])
    hear = hear_openai if api.startswith("openai") else hear_ollama
    for one in objects:
        if "model" in one:
            answer.models.add(one["model"])
        hear(answer, one)
    return answer


def hear_openai(answer: Heard, said: dict[str, Any]) -> None:
    if said.get("usage"):
        usage = said["usage"]
        answer.usage = (usage["prompt_tokens"], usage.get("completion_tokens", 0))
    for item in said.get("data", ()):
        assert item["index"] == len(answer.vectors)
        answer.vectors.append(item["embedding"])
    for choice in said.get("choices", ()):
        message = choice.get("delta", choice.get("message", {}))
        answer.text += choice.get("text") or message.get("content") or ""
        answer.thinking += message.get("reasoning_content") or ""
        hear_tools(answer, message.get("tool_calls", ()))
        logprobs = choice.get("logprobs") or {}
        rows = [(one["token"], one["logprob"]) for one in logprobs.get("content") or ()]
        in_columns = logprobs.get("tokens", ()), logprobs.get("token_logprobs", ())
        answer.logprobs += [*rows, *zip(*in_columns, strict=True)]
        if choice["finish_reason"]:
            answer.finishes.append(choice["finish_reason"])


def hear_tools(answer: Heard, parts: Any) -> None:
    """Told in pieces: a part without a name goes on with the last."""
    for part in parts:
        function = part["function"]
        if function.get("name"):
            assert part["id"]
            at = part.get("index", len(answer.tools))
            answer.tools.append(Tool(function["name"], {}, part["id"], at))
            part_of = ""
        else:
            part_of = answer.tools[-1].arguments.get("so far", "")
        text = part_of + function["arguments"]
        last = answer.tools.pop()
        answer.tools.append(Tool(last.name, {"so far": text}, last.id, last.index))


def hear_ollama(answer: Heard, said: dict[str, Any]) -> None:
    message = said.get("message", said)
    answer.text += message.get("content") or message.get("response") or ""
    answer.thinking += message.get("thinking") or ""
    for call in message.get("tool_calls", ()):
        function = call["function"]
        told = function["name"], function["arguments"], call.get("id", ""), function["index"]
        answer.tools.append(Tool(*told))
    answer.logprobs += [(one["token"], one["logprob"]) for one in said.get("logprobs", ())]
    answer.vectors += said.get("embeddings", ())
    if "embedding" in said:
        answer.vectors.append(said["embedding"])
    if said.get("done"):
        answer.finishes.append(said["done_reason"])
        answer.usage = (said["prompt_eval_count"], said["eval_count"])
        durations = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
        assert all(isinstance(said[name], int) and said[name] >= 0 for name in durations)
    if "created_at" in said:
        assert said["created_at"].endswith("Z")


def finished(tools: list[Tool]) -> list[Tool]:
    """Tools whose arguments came as text, with the object that they are."""
    return [
        Tool(one.name, json.loads(one.arguments["so far"]), one.id, one.index)
        if "so far" in one.arguments
        else one
        for one in tools
    ]
