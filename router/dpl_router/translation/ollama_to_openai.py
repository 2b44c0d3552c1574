"""Ollama's request bodies as OpenAI's. The caller adds `model` and `stream`.

`keep_alive` and `truncate` say nothing to such a server and are left out; what would change the
answer and cannot be said (`context`, `template`) is refused by name.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from dpl_router.errors import BadRequest
from dpl_router.translation.parts import (
    Fields,
    copied,
    data_url,
    list_at,
    number_at,
    object_at,
    objects_at,
    text_at,
)

OPTIONS = (
    "temperature",
    "top_p",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "top_k",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
)
"""Those after the first six are no words of OpenAI's; llama.cpp, vLLM and SGLang know what they
know of them and skip the rest."""
LEVELS = frozenset({"low", "medium", "high"})


class Calls:
    """The tool calls of a conversation that have no answer yet.

    Each is looked at a few times at most, however many there are."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._open: set[int] = set()
        self._first: deque[int] = deque()
        self._by_id: defaultdict[str, deque[int]] = defaultdict(deque)
        self._by_name: defaultdict[str, deque[int]] = defaultdict(deque)

    def asked(self, name: str, id_: str) -> None:
        at = len(self._ids)
        self._ids.append(id_)
        self._open.add(at)
        for queue in (self._first, self._by_id[id_], self._by_name[name]):
            queue.append(at)

    def answered(self, id_: Any, name: Any) -> str | None:
        """The id of the call that is answered: the one that has `id_`, else the first of that
        name, else the first; None where none is open."""
        for queue in self._queues(id_, name):
            while queue:
                at = queue.popleft()
                if at in self._open:
                    self._open.remove(at)
                    return self._ids[at]
        return None

    def _queues(self, id_: Any, name: Any) -> Iterable[deque[int]]:
        if isinstance(id_, str) and id_ in self._by_id:
            yield self._by_id[id_]
        if isinstance(name, str) and name in self._by_name:
            yield self._by_name[name]
        yield self._first


def chat(body: Mapping[str, Any]) -> Fields:
    """/v1/chat/completions for /api/chat. Raises: BadRequest, naming the place."""
    calls = Calls()
    said = objects_at(body.get("messages"), "messages")
    fields: Fields = {"messages": [_message(*one, calls) for one in said]}
    tools = [{"type": "function", **tool} for tool, _ in objects_at(body.get("tools"), "tools")]
    if tools:
        fields["tools"] = tools
    return {**fields, **_shared(body), **_thinking(body), **_logprobs(body)}


def is_completion(body: Mapping[str, Any]) -> bool:
    """An /api/generate whose prompt no template shall touch, or that has a suffix to meet."""
    return bool(body.get("raw") or body.get("suffix"))


def completion(body: Mapping[str, Any]) -> Fields:
    """/v1/completions for /api/generate. Raises: BadRequest, naming the place."""
    refuse_own(body)
    fields: Fields = {"prompt": text_at(body.get("prompt"), "prompt"), **copied(body, ("suffix",))}
    if body.get("logprobs"):
        fields["logprobs"] = body.get("top_logprobs") or 1  # 0 is none at all to llama.cpp
    return {**fields, **_shared(body)}


def question(body: Mapping[str, Any]) -> Fields:
    """/v1/chat/completions for /api/generate. Raises: BadRequest, naming the place."""
    refuse_own(body)
    prompt, system = (text_at(body.get(name), name) for name in ("prompt", "system"))
    asked: Fields = {"role": "user", "content": prompt, "images": body.get("images")}
    turns = [{"role": "system", "content": system}, asked] if system else [asked]
    return chat({**body, "messages": turns, "tools": None})


def refuse_own(body: Mapping[str, Any]) -> None:
    for name in ("context", "template"):
        if body.get(name):
            raise BadRequest(f"{name}: only an Ollama node can take it", param=name)


def embedding(body: Mapping[str, Any]) -> Fields:
    """/v1/embeddings for /api/embed, and for /api/embeddings, which says `prompt`."""
    said = body.get("input", body.get("prompt"))
    return {"input": said, "encoding_format": "float", **copied(body, ("dimensions",))}


def _message(said: Mapping[str, Any], place: str, calls: Calls) -> Fields:
    role = text_at(said.get("role"), f"{place}.role")
    text = text_at(said.get("content"), f"{place}.content")
    images = [
        {"type": "image_url", "image_url": {"url": data_url(text_at(one, f"{place}.images"))}}
        for one in list_at(said.get("images"), f"{place}.images")
    ]
    content = [{"type": "text", "text": text}, *images] if text else images
    message: Fields = {"role": role, "content": content if images else text}
    if thinking := text_at(said.get("thinking"), f"{place}.thinking"):
        message["reasoning_content"] = thinking
    called = objects_at(said.get("tool_calls"), f"{place}.tool_calls")
    if called:
        message["tool_calls"] = [_call(*one, calls) for one in called]
    if role == "tool":
        message["tool_call_id"] = _answered(said, calls)
    return message


def _call(said: Mapping[str, Any], place: str, calls: Calls) -> Fields:
    function = object_at(said.get("function"), f"{place}.function")
    name = text_at(function.get("name"), f"{place}.function.name")
    arguments = function.get("arguments")
    text = (
        arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
    )
    id_ = text_at(said.get("id"), f"{place}.id") or invented(place)
    calls.asked(name, id_)
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": text}}


def invented(place: str) -> str:
    """An id for the tool call that stands at `place`: the same in each turn of a conversation."""
    return "call_" + "".join(char for char in place if char.isalnum())


def _answered(said: Mapping[str, Any], calls: Calls) -> str:
    """The id of the call that a tool's message answers."""
    id_, name = said.get("tool_call_id"), said.get("tool_name", said.get("name"))
    asked = calls.answered(id_, name)
    if asked is None:
        return id_ if isinstance(id_, str) and id_ else "call_unknown"
    return asked


def _shared(body: Mapping[str, Any]) -> Fields:
    options = object_at(body.get("options"), "options")
    fields = copied(options, OPTIONS)
    if "repeat_penalty" in fields:
        fields["repetition_penalty"] = fields["repeat_penalty"]
    most = number_at(options.get("num_predict"), "options.num_predict")
    if most is not None and most > 0:
        fields["max_tokens"] = most
    shape = body.get("format")
    if shape == "json":
        fields["response_format"] = {"type": "json_object"}
    elif isinstance(shape, dict):
        schema = {"name": "answer", "schema": shape, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif shape:
        raise BadRequest("format is neither 'json' nor a schema", param="format")
    return fields


def _thinking(body: Mapping[str, Any]) -> Fields:
    """Levels are OpenAI's; on and off are what templates of llama.cpp, vLLM and SGLang read."""
    think = body.get("think")
    if think is None:
        return {}
    if isinstance(think, bool):
        switched = {"chat_template_kwargs": {"enable_thinking": think}}
        return switched if think else {"reasoning_effort": "none", **switched}
    if isinstance(think, str) and think in LEVELS:
        return {"reasoning_effort": think}
    raise BadRequest("think is neither true, false, low, medium nor high", param="think")


def _logprobs(body: Mapping[str, Any]) -> Fields:
    return copied(body, ("logprobs", "top_logprobs")) if body.get("logprobs") else {}
