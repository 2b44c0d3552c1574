"""A chat as one prompt, for Ollama nodes that have /api/generate and no /api/chat.

A single question goes as it is, so the node's template makes of it what it would of a chat; a
conversation goes as plain text with the speakers named. Tools cannot be told so and are left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dpl_router.translation.parts import Fields, copied, list_at, objects_at

SPEAKERS = {"user": "User", "assistant": "Assistant", "tool": "Tool"}
KEPT = ("options", "format", "think", "keep_alive", "truncate", "logprobs", "top_logprobs")


def as_generate(chat: Mapping[str, Any]) -> Fields:
    """/api/generate for the body of an /api/chat, without `model` and `stream`."""
    said = [message for message, _ in objects_at(chat.get("messages"), "messages")]
    system = "\n".join(_text(one) for one in said if one.get("role") == "system")
    turns = [one for one in said if one.get("role") != "system"]
    images = [image for one in turns for image in list_at(one.get("images"), "images")]
    fields: Fields = {"prompt": _prompt(turns), **copied(chat, KEPT)}
    if system:
        fields["system"] = system
    if images:
        fields["images"] = images
    return fields


def _prompt(turns: Sequence[Mapping[str, Any]]) -> str:
    if len(turns) == 1 and turns[0].get("role") == "user":
        return _text(turns[0])
    lines = [f"{SPEAKERS.get(str(one.get('role')), 'User')}: {_text(one)}" for one in turns]
    return "\n\n".join([*lines, "Assistant:"])


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""
