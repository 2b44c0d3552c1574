"""The shapes of bodies in the OpenAPI document, as far as the router itself reads or writes them.

What nodes and clients say beyond that passes through, so nothing forbids other fields.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
TEXT_OR_NONE: Schema = {"type": ["string", "null"]}
MODEL: Schema = {
    "type": ["string", "null"],
    "description": "A name of the list of models; auto or absent: the router chooses.",
}
NAMED: Schema = {"type": "string", "minLength": 1}
SWITCH: Schema = {"type": ["boolean", "null"]}
WHOLE: Schema = {"type": ["integer", "null"]}
MESSAGE: Schema = {"type": "object", "properties": {"role": TEXT}, "required": ["role"]}
USAGE_ASKED: Schema = {
    "type": ["object", "null"],
    "properties": {"include_usage": SWITCH},
}
KEEP_ALIVE: Schema = {
    "type": ["number", "string", "null"],
    "description": "Seconds, or a duration such as 5m; 0 unloads, less keeps for ever.",
}

SECONDS: Schema = {"type": ["number", "null"], "minimum": 0, "maximum": 3600}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
ALERT: Schema = {
    "type": "object",
    "properties": {
        "status": {"enum": ["firing", "resolved"]},
        "labels": TEXTS,
        "annotations": TEXTS,
        "fingerprint": {"type": "string", "pattern": "^[0-9a-fA-F]{1,64}$"},
    },
    "required": ["status", "labels", "fingerprint"],
}


def _object(required: str = "", **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        **({"required": required.split()} if required else {}),
    }


def _error(**fields: Schema) -> Schema:
    return _object(" ".join(fields), **fields)


SCHEMAS: Mapping[str, Schema] = {
    "Anything": {},
    "Object": {"type": "object"},
    "Objects": {"type": "array", "items": {"type": "object"}},
    "List": _object("object data", object={"const": "list"}, data={"type": "array"}),
    "Chat": _object(
        "messages",
        model=MODEL,
        messages={"type": "array", "items": MESSAGE, "minItems": 1, "maxItems": 4096},
        stream=SWITCH,
        stream_options=USAGE_ASKED,
        max_tokens=WHOLE,
        max_completion_tokens=WHOLE,
    ),
    "Complete": _object(
        model=MODEL, prompt={}, stream=SWITCH, stream_options=USAGE_ASKED, max_tokens=WHOLE
    ),
    "Completion": _object(
        "object choices",
        id=TEXT,
        object=TEXT,
        created=WHOLE,
        model=TEXT,
        choices={"type": "array", "items": {"type": "object"}},
    ),
    "Embed": _object(
        "input",
        model=MODEL,
        input={"type": ["string", "array"]},
        encoding_format={"enum": ["float", "base64", None]},
    ),
    "Passed": _object(model=MODEL, stream=SWITCH, max_tokens=WHOLE, max_output_tokens=WHOLE),
    "Transcription": _object(
        "model file", model=NAMED, file={"type": "string", "format": "binary"}
    ),
    "OllamaChat": _object(
        "model",
        model=NAMED,
        messages={"type": ["array", "null"], "items": {"type": "object"}},
        stream=SWITCH,
        options={"type": ["object", "null"]},
        keep_alive=KEEP_ALIVE,
    ),
    "OllamaGenerate": _object(
        "model",
        model=NAMED,
        prompt=TEXT_OR_NONE,
        stream=SWITCH,
        options={"type": ["object", "null"]},
        keep_alive=KEEP_ALIVE,
    ),
    "OllamaAnswer": _object("model created_at done", model=TEXT, created_at=TEXT, done=SWITCH),
    "OllamaEmbed": _object("model", model=NAMED),
    "OllamaModels": _object("models", models={"type": "array", "items": {"type": "object"}}),
    "Named": _object("model", model=NAMED, verbose={"type": "boolean"}),
    "Pull": _object("model", model=NAMED, stream=SWITCH, node=TEXT_OR_NONE),
    "Reasoned": _object(reason=TEXT),
    "Drain": _object(reason=TEXT, timeout=SECONDS, force={"type": "boolean"}),
    "Lock": _object(reason=TEXT, timeout=SECONDS),
    "AlertmanagerCall": _object(
        "version alerts",
        version={"const": "4"},
        receiver=TEXT,
        truncatedAlerts={"type": "integer", "minimum": 0},
        alerts={"type": "array", "items": ALERT},
    ),
    "OpenAiError": _error(
        error=_error(message=TEXT, type=TEXT, param=TEXT_OR_NONE, code=TEXT_OR_NONE)
    ),
    "AnthropicError": _error(type={"const": "error"}, error=_error(type=TEXT, message=TEXT)),
    "OllamaError": _error(error=TEXT),
    "Problem": _error(title=TEXT, status={"type": "integer"}, detail=TEXT, code=TEXT),
}
