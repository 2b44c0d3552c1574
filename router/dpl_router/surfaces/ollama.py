"""Ollama's protocol under /api: chat, generate and embeddings.

Statuses and spellings are those of a real server (recorded: 0.32 and 0.24).
"""

from typing import Any

import msgspec
from litestar import asgi
from litestar.types import HTTPScope, Receive, Send

from dpl_router.bodies import decoded
from dpl_router.conversation import Api
from dpl_router.errors import BadRequest, DplError, NotFound, TooLarge
from dpl_router.loose_json import NULL
from dpl_router.security.guards import user
from dpl_router.surfaces.answering import Voice, serve, serve_where_known
from dpl_router.surfaces.ollama_loading import OllamaCall, permit_unload, serve_empty
from dpl_router.surfaces.ollama_words import JSON, NDJSON, error_line, in_ollamas_words
from dpl_router.surfaces.openai import MOST_MESSAGES
from dpl_router.surfaces.reading import (
    NOTHING_TO_WRITE,
    limit,
    named,
    nothing,
    read_call,
    tokens_in,
)


class _Message(msgspec.Struct):
    images: msgspec.Raw = NULL


class _Chat(msgspec.Struct):
    """What the router must know of the body; everything else passes through."""

    model: str | None = None
    messages: list[_Message] | None = None
    stream: bool | None = None
    options: dict[str, Any] | None = None
    keep_alive: int | float | str | None = None


class _Generate(msgspec.Struct):
    model: str | None = None
    prompt: str | None = None
    images: msgspec.Raw = NULL
    stream: bool | None = None
    options: dict[str, Any] | None = None
    keep_alive: int | float | str | None = None


class _Embed(msgspec.Struct):
    model: str | None = None
    input: msgspec.Raw = NULL
    prompt: msgspec.Raw = NULL
    keep_alive: int | float | str | None = None


_chat = msgspec.json.Decoder(_Chat).decode
_generate = msgspec.json.Decoder(_Generate).decode
_embed = msgspec.json.Decoder(_Embed).decode


CHAT = Voice("chat", error_line, plain=JSON, stream=NDJSON)
GENERATE = Voice("generate", error_line, plain=JSON, stream=NDJSON)
NOT_HERE_TO_EMBED = 'model "{}" not found, try pulling it first'
NOT_A_WORD = {"message": {"role": "assistant", "content": ""}}
NO_TEXT = {"response": ""}
EMBED = Voice("embeddings", error_line, plain=JSON, stream=NDJSON)


def decode_chat(body: bytes, request_id: str) -> OllamaCall:
    """Raises: BadRequest."""
    said = decoded(_chat, _there(body))
    if len(said.messages or ()) > MOST_MESSAGES:
        raise TooLarge(f"more than {MOST_MESSAGES} messages", param="messages")
    pictures = sum(memoryview(message.images).nbytes for message in said.messages or ())
    return OllamaCall(
        id=request_id,
        model=_required(said.model),
        body=body,
        stream=said.stream is not False,
        wants_usage=True,
        prompt_tokens=tokens_in(len(body) - pictures),
        max_tokens=_limit(said.options),
        api="ollama.chat",
        empty=not said.messages,
        keep_alive=said.keep_alive,
    )


def decode_generate(body: bytes, request_id: str) -> OllamaCall:
    """Raises: BadRequest, NotFound."""
    said = decoded(_generate, _there(body))
    return OllamaCall(
        id=request_id,
        model=_required(said.model, NotFound("model '' not found")),
        body=body,
        stream=said.stream is not False,
        wants_usage=True,
        prompt_tokens=tokens_in(len(body) - memoryview(said.images).nbytes),
        max_tokens=_limit(said.options),
        api="ollama.generate",
        empty=not said.prompt,
        keep_alive=said.keep_alive,
    )


def decode_embed(body: bytes, request_id: str) -> OllamaCall:
    """Raises: BadRequest, NotFound."""
    return _embedding(body, request_id, "ollama.embed", NotFound("model '' not found"))


def decode_embeddings(body: bytes, request_id: str) -> OllamaCall:
    """The older call, for one text. Raises: BadRequest."""
    return _embedding(body, request_id, "ollama.embeddings", BadRequest("model is required"))


def _embedding(body: bytes, request_id: str, api: Api, nameless: DplError) -> OllamaCall:
    said = decoded(_embed, _there(body))
    return OllamaCall(
        id=request_id,
        model=_required(said.model, nameless),
        body=body,
        stream=False,
        wants_usage=True,
        prompt_tokens=tokens_in(len(body)),
        max_tokens=NOTHING_TO_WRITE,
        api=api,
        empty=nothing(said.input if api == "ollama.embed" else said.prompt),
        keep_alive=said.keep_alive,
    )


def _there(body: bytes) -> bytes:
    if not body:
        raise BadRequest("missing request body")
    return body


def _required(model: str | None, nameless: DplError | None = None) -> str:
    if not model:
        raise nameless or BadRequest("model is required", param="model")
    return named(model)


def _limit(options: dict[str, Any] | None) -> int | None:
    """What is no number there is the node's to refuse."""
    most = (options or {}).get("num_predict")
    return limit(int(most)) if isinstance(most, int | float) and abs(most) < 1e9 else None


@asgi("/api/chat", guards=[user], copy_scope=False)
async def chat(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Answer as Ollama's chat does, in lines or whole; without messages, load or unload."""
    call = await read_call(scope, receive, decode_chat)
    with in_ollamas_words(call.model):
        if call.empty:
            await serve_empty(call, NOT_A_WORD, scope, send)
        else:
            await serve(call, CHAT, scope, send)


@asgi("/api/generate", guards=[user], copy_scope=False)
async def generate(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Answer as Ollama's generate does; without a prompt, load or unload."""
    call = await read_call(scope, receive, decode_generate)
    with in_ollamas_words(call.model):
        if call.empty:
            await serve_empty(call, NO_TEXT, scope, send)
        else:
            await serve(call, GENERATE, scope, send)


@asgi("/api/embed", guards=[user], copy_scope=False)
async def embed(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Vectors for one text or many."""
    call = await read_call(scope, receive, decode_embed)
    permit_unload(call, scope)
    with in_ollamas_words(call.model, NOT_HERE_TO_EMBED):
        await serve_where_known(call, EMBED, scope, send)


@asgi("/api/embeddings", guards=[user], copy_scope=False)
async def embeddings(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """The older call: one vector for one text."""
    call = await read_call(scope, receive, decode_embeddings)
    permit_unload(call, scope)
    with in_ollamas_words(call.model, NOT_HERE_TO_EMBED):
        await serve_where_known(call, EMBED, scope, send)
