"""One call for an answer, as a fake Ollama reads it: /api/chat and /api/generate.

The OpenAI endpoints translate into these and back (`ollama_openai`), as a real Ollama does.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fakes.ollama_go import (
    Fields,
    Refusal,
    check_image,
    check_options,
    read,
    seconds,
    written,
)
from tests.fakes.ollama_models import Model, Shelf

NATIVE = "missing request body"
"""What an empty body is told at /api."""
LEVELS = ("high", "medium", "low", "max")
COMMON = {
    "model": "string",
    "stream": "bool",
    "options": "map[string]interface {}",
    "logprobs": "bool",
    "top_logprobs": "int",
}
CHAT_FIELDS: Fields = COMMON | {
    "messages": "[]api.Message",
    "messages.role": "string",
    "messages.content": "string",
    "tools": "api.Tools",
}
GENERATE_FIELDS: Fields = COMMON | {
    "prompt": "string",
    "suffix": "string",
    "system": "string",
    "template": "string",
    "context": "[]int",
    "raw": "bool",
    "images": "[]api.ImageData",
}
CITY = {"city": "Paris"}

What = Literal["text", "thinking", "call"]


@dataclass(frozen=True)
class Word:
    """One token; `call` is a whole tool call: its name, and its arguments as `text`."""

    what: What
    text: str
    name: str = ""


@dataclass
class Call:
    """What was asked."""

    name: str
    """The model's, as the client spells it."""
    model: Model
    document: dict[str, Any]
    stream: bool
    prompts: list[str]
    """The texts that the model reads."""
    options: dict[str, Any]
    keep: float | None
    images: bool = False
    raw: bool = True
    """Its answer tells no `context`."""
    evaluated: int = 0
    """Tokens of the prompt, after a cut."""
    reason: str = "stop"
    words: list[Word] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """It only loads or unloads."""
        return not self.prompts

    @property
    def top_logprobs(self) -> int | None:
        """How many alternatives; None: no log probabilities at all."""
        wanted = self.document.get("top_logprobs") or 0
        return wanted if self.document.get("logprobs") else None

    @property
    def thinks(self) -> bool:
        think = self.document.get("think")
        return "thinking" in self.model.capabilities and think is not False


def chat_call(document: dict[str, Any], shelf: Shelf) -> Call:
    """Raises: Refusal."""
    name = document.get("model") or ""
    if not name:
        raise Refusal(400, "model is required")
    messages = document.get("messages") or []
    prompts = [str(one.get("content") or "") for one in messages]
    call = _call(document, name, shelf, prompts)
    call.images = any(one.get("images") for one in messages)
    if not call.empty:
        _check_capability(call, "chat", bool(document.get("tools")))
    return call


def generate_call(document: dict[str, Any], shelf: Shelf) -> Call:
    """Raises: Refusal."""
    name = document.get("model") or ""
    prompt = document.get("prompt") or ""
    call = _call(document, name, shelf, [prompt] if prompt else [])
    call.images = bool(document.get("images"))
    for image in document.get("images") or ():
        check_image(image)
    call.raw = bool(document.get("raw"))
    if call.raw and any(document.get(key) for key in ("template", "system", "context")):
        raise Refusal(400, "raw mode does not support template, system, or context")
    if not call.empty:
        _check_capability(call, "generate", tools=False)
    if document.get("suffix") and "insert" not in call.model.capabilities:
        raise Refusal(400, f"{call.model.full} does not support insert")
    template = document.get("template") or ""
    if template.count("{{") > template.count("}}"):
        raise Refusal(500, "template: :1: unclosed action")
    return call


def _call(document: dict[str, Any], name: str, shelf: Shelf, prompts: list[str]) -> Call:
    keep = document.get("keep_alive")
    held = None if keep is None else seconds(keep)
    _check_think(document.get("think"))
    model = shelf.find(name, f"model '{name}' not found")
    if not 0 <= (document.get("top_logprobs") or 0) <= 20:
        raise Refusal(400, "top_logprobs must be between 0 and 20")
    return Call(
        name=name,
        model=model,
        document=document,
        stream=document.get("stream") is not False,
        prompts=prompts,
        options=document.get("options") or {},
        keep=held,
    )


def _check_think(think: object) -> None:
    if think is None or isinstance(think, bool) or think in LEVELS:
        return
    levels = ", ".join(f'"{one}"' for one in LEVELS)
    raise Refusal(400, f"invalid think value: {written(think)} (must be {levels}, true, or false)")


def _check_capability(call: Call, what: str, tools: bool) -> None:
    can = call.model.capabilities
    if "completion" not in can:
        raise Refusal(400, f'"{call.name}" does not support {what}')
    if tools and "tools" not in can:
        raise Refusal(400, f"{call.model.full} does not support tools")
    if call.document.get("think") and "thinking" not in can:
        raise Refusal(400, f'"{call.name}" does not support thinking')
    check_options(call.options)


def speak(call: Call, tokens: Sequence[str], thinking: Sequence[str]) -> None:
    """Decides on `call.words` and `call.reason`."""
    if tool := _tool(call):
        call.words = [Word("call", written(_arguments(tool)), tool["name"])]
        return
    wanted = call.document.get("format")
    if wanted:
        text = written(example(wanted) if isinstance(wanted, dict) else {"colour": "red", "n": 1})
        tokens = re.findall(r"[^,:]+[,:]?|[,:]", text)
    words = [Word("thinking", text) for text in thinking] if call.thinks else []
    said = _until(tokens, call.options.get("stop") or [])
    words += [Word("text", text) for text in said]
    most = int(call.options.get("num_predict") or 0)
    call.words = words[:most] if most > 0 else words
    call.reason = "length" if len(call.words) < len(words) else "stop"


def _tool(call: Call) -> Mapping[str, Any] | None:
    tools = call.document.get("tools") or []
    messages = call.document.get("messages") or [{}]
    if not tools or not call.model.calls or messages[-1].get("role") == "tool":
        return None
    function: Mapping[str, Any] = tools[0]["function"]
    return function


def _arguments(function: Mapping[str, Any]) -> Any:
    parameters = function.get("parameters") or {}
    return example(parameters) if parameters.get("properties") else CITY


def _until(tokens: Sequence[str], stops: Sequence[str] | str) -> list[str]:
    """`tokens` up to the first of `stops`."""
    whole = "".join(tokens)
    stops = [stops] if isinstance(stops, str) else stops
    places = [place for stop in stops if (place := whole.find(stop)) >= 0]
    if not places:
        return list(tokens)
    return list(_cut(tokens, min(places)))


def _cut(tokens: Sequence[str], length: int) -> Iterator[str]:
    for token in tokens:
        if length > 0:
            yield token[:length]
        length -= len(token)


def example(schema: Mapping[str, Any]) -> Any:
    """A small value that fits `schema`."""
    if options := schema.get("enum") or schema.get("anyOf"):
        return example(options[0]) if schema.get("anyOf") else options[0]
    if "$ref" in schema or schema.get("type") == "null":
        return None
    if schema.get("type") == "object" or "properties" in schema:
        return {name: example(one) for name, one in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [example(schema.get("items") or {})]
    plain: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True}
    return plain.get(str(schema.get("type")), "Paris")


def read_chat(body: bytes) -> dict[str, Any]:
    return read(body, "api.ChatRequest", CHAT_FIELDS, nothing=NATIVE)


def read_generate(body: bytes) -> dict[str, Any]:
    return read(body, "api.GenerateRequest", GENERATE_FIELDS, nothing=NATIVE)


def arguments(word: Word) -> Any:
    return json.loads(word.text)
