"""Every call of the API in one table; the OpenAPI document and the page /schema are made of it.

A contract test compares it with the routes of the application: nothing is missing, nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["open", "viewer", "user", "operator"]
Tag = Literal["OpenAI", "Anthropic", "Ollama", "Fleet", "Diagnostics", "Alerting"]

JSON = "application/json"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class Operation:
    """`body` and `answer` name schemas of `openapi_schemas`."""

    method: str
    path: str
    role: Role
    tag: Tag
    summary: str
    body: str = ""
    """"": it takes none."""
    body_type: str = JSON
    answer: str = "Anything"
    """"": nothing comes back."""
    answer_types: Sequence[str] = (JSON,)
    query: Sequence[str] = ()
    """Names of parameters; with ! those that must be there."""
    status: int = 200


def _get(path: str, tag: Tag, summary: str, answer: str, role: Role = "viewer") -> Operation:
    return Operation("get", path, role, tag, summary, answer=answer)


def _head(path: str, tag: Tag, summary: str, role: Role = "viewer") -> Operation:
    return Operation("head", path, role, tag, summary, answer="")


def _call(path: str, tag: Tag, summary: str, body: str, answer: str, *streams: str) -> Operation:
    """An inference call; `streams`: content types of its streamed answer."""
    return Operation(
        "post", path, "user", tag, summary, body, answer=answer, answer_types=(JSON, *streams)
    )


def _refused(method: str, path: str, summary: str) -> Operation:
    return Operation(method, path, "user", "Ollama", f"{summary}: always refused", answer="")


def _text(path: str, summary: str, role: Role) -> tuple[Operation, Operation]:
    """And its head alone."""
    whole = Operation("get", path, role, "Diagnostics", summary, "", answer_types=(TEXT,))
    return whole, _head(path, "Diagnostics", summary, role)


INFERENCE: Sequence[Operation] = (
    _call("/v1/chat/completions", "OpenAI", "Chat", "Chat", "Completion", SSE),
    _call("/v1/completions", "OpenAI", "Complete a text", "Complete", "Completion", SSE),
    _call("/v1/embeddings", "OpenAI", "Vectors of texts", "Embed", "List"),
    _call("/v1/responses", "OpenAI", "Responses, where a node has them", "Passed", "Object", SSE),
    _call("/v1/rerank", "OpenAI", "Rank documents, where a node can", "Passed", "Object"),
    Operation(
        "post",
        "/v1/audio/transcriptions",
        "user",
        "OpenAI",
        "Speech to text, where a node can",
        body="Transcription",
        body_type="multipart/form-data",
        answer="Anything",
        answer_types=(JSON, SSE, TEXT),
    ),
    _get("/v1/models", "OpenAI", "The models of all nodes", "List", "user"),
    _get("/v1/models/{model}", "OpenAI", "One model", "Object", "user"),
    _call("/v1/messages", "Anthropic", "Messages, where a node has them", "Passed", "Object", SSE),
    _call("/v1/messages/count_tokens", "Anthropic", "Count a prompt", "Passed", "Object"),
    _call("/api/chat", "Ollama", "Chat; load or unload", "OllamaChat", "OllamaAnswer", NDJSON),
    _call(
        "/api/generate",
        "Ollama",
        "Generate; load or unload",
        "OllamaGenerate",
        "OllamaAnswer",
        NDJSON,
    ),
    _call("/api/embed", "Ollama", "Vectors of texts", "OllamaEmbed", "Object"),
    _call("/api/embeddings", "Ollama", "Vector of a text, the older call", "OllamaEmbed", "Object"),
    _get("/api/tags", "Ollama", "The models of all nodes", "OllamaModels"),
    _head("/api/tags", "Ollama", "Whether we are there"),
    _get("/api/ps", "Ollama", "The models that are loaded, and where", "OllamaModels"),
    _get("/api/version", "Ollama", "The release of Ollama that we speak as", "Object"),
    _head("/api/version", "Ollama", "Whether we are there"),
    Operation("post", "/api/show", "viewer", "Ollama", "What a model is", "Named", answer="Object"),
    Operation(
        "post",
        "/api/pull",
        "operator",
        "Ollama",
        "Have a model on a node",
        "Pull",
        answer="Object",
        answer_types=(NDJSON, JSON),
    ),
    _refused("post", "/api/create", "Make a model"),
    _refused("post", "/api/push", "Publish a model"),
    _refused("post", "/api/copy", "Name a model anew"),
    _refused("delete", "/api/delete", "Delete a model"),
    _refused("post", "/api/blobs/{digest}", "Upload a part of a model"),
    _refused("head", "/api/blobs/{digest}", "Whether a part of a model is here"),
)

NODE_VERBS = (
    ("cordon", "Send nothing new to a node", "Reasoned"),
    ("uncordon", "Let a node serve again, whoever cordoned it", ""),
    ("drain", "Cordon a node and wait for its running answers", "Drain"),
    ("lock", "Hold a whole node until it is unlocked", "Lock"),
    ("unlock", "End a lock", ""),
)
"""Of one node: verb, summary, body."""

HOUSE: Sequence[Operation] = (
    Operation(
        "post",
        "/api/chat/completions",
        "user",
        "Fleet",
        "OpenAI's chat as a stream that begins with the node's name",
        "Chat",
        answer="Anything",
        answer_types=(SSE,),
    ),
    _get("/api/status/all", "Fleet", "Every node", "Objects"),
    _get("/api/leases", "Fleet", "Who holds which node", "Objects"),
    _get("/api/cluster/overview", "Fleet", "The fleet in a few numbers", "Object"),
    _get("/api/models", "Fleet", "Every model, and on which nodes", "Objects"),
    Operation(
        "post",
        "/api/models/start/{model}",
        "operator",
        "Fleet",
        "Have a model loaded",
        answer="Object",
        query=("node",),
    ),
    Operation(
        "post",
        "/api/models/unload/{model}",
        "operator",
        "Fleet",
        "Have a model let go of",
        answer="Object",
        query=("node",),
    ),
    Operation(
        "post", "/api/unlock/all", "operator", "Fleet", "Release every lease", answer="Objects"
    ),
    *(
        Operation(
            "post",
            f"/api/nodes/{{name}}/{verb}",
            "operator",
            "Fleet",
            summary,
            body,
            answer="Object",
        )
        for verb, summary, body in NODE_VERBS
    ),
    Operation(
        "post",
        "/alertmanager/webhook",
        "operator",
        "Alerting",
        "Alerts that act: cordon or drain a node",
        body="AlertmanagerCall",
        answer="Object",
    ),
    _get("/api/alerts", "Alerting", "What Alertmanager holds active", "Objects"),
    Operation(
        "post",
        "/alertmanager/heartbeat",
        "operator",
        "Alerting",
        "The watchdog's call",
        answer="",
        status=204,
    ),
    *_text("/metrics", "The router's own metrics", "viewer"),
    _get("/sd/prometheus/{job}", "Diagnostics", "The nodes as http_sd", "Objects"),
    Operation(
        "get",
        "/api/prometheus/query",
        "viewer",
        "Diagnostics",
        "An instant query to Prometheus",
        answer="Object",
        query=("query!", "time"),
    ),
    Operation(
        "get",
        "/api/prometheus/query_range",
        "viewer",
        "Diagnostics",
        "A range query to Prometheus",
        answer="Object",
        query=("query!", "start!", "end!", "step!"),
    ),
    _get("/api/debug/info", "Diagnostics", "Versions, modes, counts", "Object", "operator"),
    _get("/api/debug/diagnosis", "Diagnostics", "What is wrong now", "Object", "operator"),
    _get("/schema/openapi.json", "Diagnostics", "This document", "Object"),
    *_text("/-/healthy", "The process answers", "open"),
    *_text("/-/ready", "Every node was asked once", "open"),
    *_text("/healthz", "As /-/healthy", "open"),
    *_text("/readyz", "As /-/ready", "open"),
)

OPERATIONS: Sequence[Operation] = (*INFERENCE, *HOUSE)
