"""What a fake Ollama refuses only once the model is loaded, and how it cuts prompts."""

import json
from typing import Any

from tests.fakes.ollama_calls import Call
from tests.fakes.ollama_go import Refusal, written

VOCABULARY = 49_152
TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the "
    "prompt, adjust the context length in settings, or use a model with a longer context length"
)


class ServerDies(Exception):
    """One request that kills the whole server."""


def check_format(wanted: Any, *, modern: bool) -> None:
    """Raises: Refusal, as soon as the model is loaded."""
    if wanted in (None, "", "json"):
        return
    if not isinstance(wanted, dict):
        shown = written(written(wanted))
        raise Refusal(
            500, f'invalid format: {shown}; expected "json" or a valid JSON Schema object'
        )
    known = ("object", "array", "string", "integer", "number", "boolean", "null", None)
    if isinstance(wanted.get("type"), str) and wanted["type"] not in known:
        if not modern:
            raise Refusal(500, "invalid JSON schema in format")
        message = (
            "Field 'json_schema': \"json_schema\": JSON schema conversion failed:\n"
            f"JSON schema error at #: unrecognized type {wanted['type']}"
        )
        raise Refusal(400, of_the_runner(message), late=True)


def of_the_runner(message: str, **more: Any) -> str:
    """An error that comes from the runner: JSON inside the string."""
    said = {"code": 400, "message": message, "type": "invalid_request_error"} | more
    return written({"error": said})


def check_images(call: Call, *, modern: bool) -> None:
    if call.images and modern and "vision" not in call.model.capabilities:
        message = "Multimodal data provided, but model does not support multimodal requests."
        raise Refusal(400, of_the_runner(message), late=True)


def check_context(call: Call, *, modern: bool) -> None:
    """Token ids outside the vocabulary. Raises: Refusal; ServerDies where it is an old one."""
    for token in call.document.get("context") or ():
        if token >= VOCABULARY:
            if not modern:
                raise ServerDies
            said = f"vector::_M_range_check: __n (which is {token}) >= this->size() "
            said += f"(which is {VOCABULARY})"
            error = {"code": 500, "message": said, "type": "server_error"}
            told = json.dumps({"error": error}, separators=(",", ":"))
            raise Refusal(500, f"detokenize error: {told}")


def cut_prompt(call: Call, num_ctx: int, *, modern: bool) -> None:
    """Counts the prompt's words as tokens; cuts what is too long. Raises: Refusal."""
    sizes = [max(1, len(text.split())) for text in call.prompts]
    total = call.evaluated = sum(sizes)
    if total <= num_ctx:
        return
    if call.document.get("truncate") is False:
        if not modern:
            raise Refusal(400, "the input length exceeds the context length")
        message = (
            f"request ({total} tokens) exceeds the available context size ({num_ctx} tokens), "
            "try increasing it"
        )
        kind = "exceed_context_size_error"
        more = {"type": kind, "n_prompt_tokens": total, "n_ctx": num_ctx}
        raise Refusal(400, of_the_runner(message, **more), late=True)
    if modern and call.document.get("shift") is False:
        raise Refusal(400, TOO_LONG)
    while len(sizes) > 1 and sum(sizes) > num_ctx:
        sizes.pop(0)
    short = num_ctx // 2 + 2 if modern else num_ctx
    call.evaluated = sum(sizes) if sum(sizes) <= num_ctx else min(short, num_ctx)
