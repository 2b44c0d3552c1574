"""OpenAI's request bodies as Ollama's. The caller adds `model` and `stream`.

What Ollama has no word for is left out where the answer is still one (`parallel_tool_calls`,
`logit_bias`, `user`), and refused by name where it would be another (`n`, token ids, web images).
Sampling that the client does not name stays the model's own, as for any Ollama client.
"""

from collections.abc import Mapping
from typing import Any

from dpl_router.errors import BadRequest
from dpl_router.translation.parts import (
    Fields,
    base64_of,
    copied,
    json_object,
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
    "num_ctx",
)
"""Those after the first five are Ollama's own, which clients send in `extra_body`."""
OWN = ("keep_alive", "think", "truncate")
"""Fields of Ollama's that some clients send beside OpenAI's."""
ROLES = {"developer": "system", "function": "tool"}
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}


def chat(body: Mapping[str, Any]) -> Fields:
    """/api/chat for /v1/chat/completions. Raises: BadRequest, naming the place."""
    refuse_several(body)
    fields: Fields = {"messages": messages(body.get("messages"))}
    if tools := _tools(body):
        fields["tools"] = tools
    fields |= _shared(body)
    if body.get("logprobs"):
        fields |= copied(body, ("logprobs", "top_logprobs"))
    return fields


def completion(body: Mapping[str, Any]) -> Fields:
    """/api/generate for /v1/completions: raw, since no template may touch the prompt; with a
    `suffix` the template is what puts it in. Raises: BadRequest, naming the place."""
    refuse_several(body)
    if body.get("echo"):
        raise BadRequest("echo: an Ollama node does not repeat the prompt", param="echo")
    suffix = text_at(body.get("suffix"), "suffix")
    fields: Fields = {"prompt": _prompt(body.get("prompt"))}
    fields |= {"suffix": suffix} if suffix else {"raw": True}
    fields |= _shared(body)
    wanted = body.get("logprobs")
    if wanted is not None and wanted is not False:
        fields |= {"logprobs": True, "top_logprobs": number_at(wanted, "logprobs")}
    return fields


def embedding(body: Mapping[str, Any]) -> Fields:
    """/api/embed for /v1/embeddings. Raises: BadRequest for token ids."""
    said = body.get("input")
    for place, one in enumerate(said if isinstance(said, list) else [said]):
        if not isinstance(one, str):
            raise BadRequest("input: an Ollama node takes texts only", param=f"input[{place}]")
    return {"input": said, **copied(body, ("dimensions", *OWN)), **_options_field(body)}


def refuse_several(body: Mapping[str, Any]) -> None:
    for name in ("n", "best_of"):
        if body.get(name) not in (None, 1):
            raise BadRequest(f"{name}: an Ollama node gives one answer to a request", param=name)


def messages(said: Any) -> list[Fields]:
    names: dict[str, str] = {}
    return [_message(one, place, names) for one, place in objects_at(said, "messages")]


def _message(said: Mapping[str, Any], place: str, names: dict[str, str]) -> Fields:
    """`names`: of the tools that were called so far, by the id of the call."""
    role = text_at(said.get("role"), f"{place}.role")
    text, images = _content(said.get("content"), f"{place}.content")
    message: Fields = {"role": ROLES.get(role, role), "content": text}
    if images:
        message["images"] = images
    thinking = said.get("reasoning_content") or said.get("reasoning")
    if isinstance(thinking, str):
        message["thinking"] = thinking
    calls = [_call(*one) for one in objects_at(said.get("tool_calls"), f"{place}.tool_calls")]
    if calls:
        message["tool_calls"] = calls
        names |= {call["id"]: call["function"]["name"] for call in calls if "id" in call}
    if message["role"] == "tool":
        id_ = said.get("tool_call_id")
        name = names.get(id_) if isinstance(id_, str) else None
        message |= copied({"tool_name": name or said.get("name"), "tool_call_id": id_}, TOOL_NAMES)
    return message


TOOL_NAMES = ("tool_name", "tool_call_id")


def _content(said: Any, place: str) -> tuple[str, list[str]]:
    """(text, images in base64). Parts of text are joined by line ends, as chat templates do."""
    if not isinstance(said, list):
        return text_at(said, place), []
    texts, images = [], []
    for part, at in objects_at(said, place):
        kind = part.get("type")
        if kind in ("text", "input_text", "output_text", "refusal"):
            texts.append(text_at(part.get("text", part.get("refusal")), f"{at}.text"))
        elif kind in ("image_url", "input_image"):
            url = part.get("image_url")
            url = url.get("url") if isinstance(url, dict) else url
            images.append(base64_of(text_at(url, f"{at}.image_url"), f"{at}.image_url"))
        else:
            raise BadRequest(f"{at}.type: an Ollama node cannot take {kind!r}", param=f"{at}.type")
    return "\n".join(texts), images


def _call(said: Mapping[str, Any], place: str) -> Fields:
    function = object_at(said.get("function"), f"{place}.function")
    at = f"{place}.function.arguments"
    arguments = function.get("arguments")
    known = json_object(arguments, at) if isinstance(arguments, str) else object_at(arguments, at)
    name = text_at(function.get("name"), f"{place}.function.name")
    text_at(said.get("id"), f"{place}.id")
    return {**copied(said, ("id",)), "function": {"name": name, "arguments": known}}


def _tools(body: Mapping[str, Any]) -> list[Any]:
    """Without those that `tool_choice` rules out; Ollama cannot be made to call one."""
    tools = list(list_at(body.get("tools"), "tools"))
    tools += [
        {"type": "function", "function": one} for one in list_at(body.get("functions"), "functions")
    ]
    said = "tool_choice" if "tool_choice" in body else "function_call"
    choice = body.get(said)
    if choice is None or isinstance(choice, str):
        return [] if choice == "none" else tools
    choice = object_at(choice, said)
    named = (object_at(choice.get("function"), f"{said}.function") or choice).get("name")
    return [tool for tool, _ in objects_at(tools, "tools") if _name(tool) == named] or tools


def _name(tool: Mapping[str, Any]) -> Any:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else None


def _shared(body: Mapping[str, Any]) -> Fields:
    """What a chat and a completion have in common."""
    fields = _options_field(body)
    shape = _format(object_at(body.get("response_format"), "response_format"))
    if shape is not None:
        fields["format"] = shape
    think = _think(body)
    if think is not None:
        fields["think"] = think
    return {**fields, **copied(body, OWN)}


def _options_field(body: Mapping[str, Any]) -> Fields:
    options = _options(body)
    return {"options": options} if options else {}


def _options(body: Mapping[str, Any]) -> Fields:
    options: Fields = {**object_at(body.get("options"), "options")}
    for name in OPTIONS:
        number = number_at(body.get(name), name)
        if number is not None:
            options[name] = number
    for name in ("max_completion_tokens", "max_tokens"):
        most = number_at(body.get(name), name)
        if most is not None and most > 0:
            options["num_predict"] = most
            break
    stop = body.get("stop")
    if stop:
        options["stop"] = [stop] if isinstance(stop, str) else stop
    return options


def _format(said: Mapping[str, Any]) -> Any:
    """Ollama's `format`; None where the client asked for text."""
    match said.get("type"):
        case None | "text":
            return None
        case "json_object":
            return said.get("schema") or "json"
        case "json_schema":
            place = "response_format.json_schema"
            return object_at(said.get("json_schema"), place).get("schema") or "json"
        case kind:
            raise BadRequest(
                f"response_format.type: {kind!r} is none that an Ollama node knows",
                param="response_format.type",
            )


def _think(body: Mapping[str, Any]) -> bool | str | None:
    """None where the client leaves it to the model."""
    effort = text_at(body.get("reasoning_effort"), "reasoning_effort")
    if not effort:
        reasoning = object_at(body.get("reasoning"), "reasoning")
        effort = text_at(reasoning.get("effort"), "reasoning.effort")
    if effort:
        return False if effort == "none" else EFFORTS.get(effort, effort)
    kwargs = object_at(body.get("chat_template_kwargs"), "chat_template_kwargs")
    enabled = kwargs.get("enable_thinking", kwargs.get("thinking"))
    return enabled if isinstance(enabled, bool) else None


def _prompt(said: Any) -> str:
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if said is None or isinstance(said, str):
        return said or ""
    raise BadRequest("prompt: an Ollama node takes one text at a time", param="prompt")
