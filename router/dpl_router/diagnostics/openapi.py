"""The OpenAPI document (3.1) of all that the router serves, raw handlers too, without pages."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dpl_router.diagnostics.openapi_schemas import SCHEMAS
from dpl_router.diagnostics.operations import JSON, Operation

PROBLEM = "application/problem+json"
PARAMETER = re.compile(r"{(\w+)}")
BEARER = {"type": "http", "scheme": "bearer", "description": "A key of keys.yaml."}
X_API_KEY = {"type": "apiKey", "in": "header", "name": "x-api-key"}
NEEDS = {
    "open": "Open to everybody.",
    "viewer": "Needs a key of role viewer or more.",
    "user": "Needs a key of role user or more.",
    "operator": "Needs a key of role operator.",
}
DESCRIPTION = (
    "One door to all nodes, in OpenAI's and in Ollama's protocol. Where no keys file is configured "
    "no key is needed. Errors are told in the envelope of the path's own protocol."
)


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """`version` is the router's."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "DPL router", "version": version, "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"bearer": BEARER, "x_api_key": X_API_KEY},
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _id_of(operation),
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": NEEDS[operation.role],
        "security": _security(operation),
        "responses": {
            str(operation.status): _answer(operation),
            "default": {"description": "What is wrong.", "content": _errors(operation)},
        },
    }
    if parameters := [*_in_path(operation), *_in_query(operation)]:
        described["parameters"] = parameters
    if operation.body:
        content = {operation.body_type: {"schema": _ref(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _id_of(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path)
    return "_".join([operation.method, *words])


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.role == "open":
        return []
    ways = ("bearer", "x_api_key") if operation.tag == "Anthropic" else ("bearer",)
    return [{way: []} for way in ways]


def _answer(operation: Operation) -> dict[str, Any]:
    if not operation.answer:
        return {"description": "Nothing more."}
    return {
        "description": "The answer.",
        "content": {
            media: {"schema": _ref(operation.answer)} if media == JSON else {}
            for media in operation.answer_types
        },
    }


def _errors(operation: Operation) -> Mapping[str, Any]:
    match operation.tag:
        case "OpenAI":
            return {JSON: {"schema": _ref("OpenAiError")}}
        case "Anthropic":
            return {JSON: {"schema": _ref("AnthropicError")}}
        case "Ollama":
            return {JSON: {"schema": _ref("OllamaError")}}
        case _:
            return {PROBLEM: {"schema": _ref("Problem")}}


def _in_path(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in PARAMETER.findall(operation.path)
    ]


def _in_query(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name.removesuffix("!"),
            "in": "query",
            "required": name.endswith("!"),
            "schema": {"type": "string"},
        }
        for name in operation.query
    ]


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
