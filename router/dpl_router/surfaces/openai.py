"""OpenAI's protocol under /v1: chat completions and the model list."""

import asyncio
import difflib
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Controller, asgi, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import HTTPScope, Receive, Send

from dpl_router.attempt import Gone, Wire, joined
from dpl_router.conversation import ChatRequest
from dpl_router.dispatch import Dispatcher
from dpl_router.errors import (
    BadRequest,
    ClientGone,
    DplError,
    ModelUnknown,
    NotAllowed,
    TooLarge,
)
from dpl_router.security.guards import identity_of, user
from dpl_router.surfaces.relay import (
    EventStream,
    Header,
    answer_headers,
    pump,
    read_body,
    send_whole,
    watch,
    wire_of,
)
from dpl_router.telemetry.view import FleetView

AUTO = "auto"
LONGEST_ANSWER = 1_000_000
"""Tokens; a larger limit says no more to us. The node gets what the client wrote."""
MOST_MESSAGES = 4096
PARSE_ON_LOOP = 256 * 1024
BASE64 = b";base64,"
READ_BY_US = frozenset({"model", "stream", "stream_options"})
DONE = b"data: [DONE]\n\n"
JSON: Sequence[Header] = ((b"content-type", b"application/json"),)


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Message(msgspec.Struct):
    role: str


class _Body(msgspec.Struct):
    """What the router must know of the body; everything else passes through."""

    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


_decode = msgspec.json.Decoder(_Body).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decode_chat(body: bytes, request_id: str) -> ChatRequest:
    """Raises: BadRequest, with the place in the body."""
    try:
        body.decode()
        said = _decode(body)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 (byte {error.start})") from error
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        raise BadRequest(message, param=place.rstrip("`").removeprefix("$.") or None) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not said.messages:
        raise BadRequest("messages is empty; send at least one message", param="messages")
    if len(said.messages) > MOST_MESSAGES:
        raise TooLarge(f"more than {MOST_MESSAGES} messages", param="messages")
    model = said.model or ""
    return ChatRequest(
        id=request_id,
        model="" if model == AUTO else model,
        body=body,
        stream=bool(said.stream),
        wants_usage=bool(said.stream_options and said.stream_options.include_usage),
        prompt_tokens=max(1, text_bytes(body) // 4),
        max_tokens=_limit(said),
    )


def _limit(said: _Body) -> int | None:
    """0 and less mean no limit, as llama.cpp and Ollama take it."""
    most = said.max_completion_tokens or said.max_tokens or 0
    return min(most, LONGEST_ANSWER) if most > 0 else None


def text_bytes(body: bytes) -> int:
    """The body's size without images and files that stand in it as base64."""
    size, at = len(body), body.find(BASE64)
    while at >= 0:
        end = body.find(b'"', at)
        end = len(body) if end < 0 else end
        size -= end - at
        at = body.find(BASE64, end)
    return size


def refuse_look_alikes(body: bytes) -> None:
    """A node that reads names in any case (Go's JSON) must not read another model than we did.

    Raises: BadRequest.
    """
    for name in _fields(body):
        if name.casefold() in READ_BY_US and name not in READ_BY_US:
            raise BadRequest(f"{name!r} is not {name.casefold()!r}; write it so", param=name)


async def read_chat(scope: HTTPScope, receive: Receive) -> ChatRequest:
    """A chat as OpenAI clients send it, with the caller's right to use the model checked.

    Raises: BadRequest and its kin, NotAllowed, ClientGone.
    """
    body = await read_body(scope, receive)
    request_id: str = scope["state"]["request_id"]
    if len(body) > PARSE_ON_LOOP:
        chat = await asyncio.to_thread(decode_chat, body, request_id)
    else:
        chat = decode_chat(body, request_id)
    identity = identity_of(scope)
    if identity.models:
        refuse_look_alikes(body)
    if not identity.may_use(chat.model):
        asked = f"the model {chat.model!r}" if chat.model else "any model: name one in `model`"
        raise NotAllowed(f"the key {identity.name!r} may not use {asked}")
    return chat


def error_body(error: DplError) -> bytes:
    """OpenAI's envelope, all four keys."""
    return msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": _error_type(error.status),
                "param": getattr(error, "param", None),
                "code": error.code,
            }
        }
    )


def _error_type(status: int) -> str:
    words = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return words.get(status, "invalid_request_error" if status < 500 else "server_error")


@asgi("/v1/chat/completions", guards=[user], copy_scope=False)
async def chat_completions(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Answer as OpenAI chat chunks; `X-DPL-Node` names the node that speaks.

    The node has said its first word before our 200 goes out, so a refusal is still a status and a
    dead node is still retried elsewhere; after 15 s of silence the head leaves all the same.
    """
    chat = await read_chat(scope, receive)
    state = scope["app"].state
    wire = wire_of(scope)
    gone = watch(receive, wire)
    key = identity_of(scope).name
    try:
        if chat.stream:
            stream = EventStream(send, chat.id, state.streams, wire)
            await _stream(state.dispatcher, chat, gone, key, stream)
        else:
            await _plain(state.dispatcher, chat, gone, key, send, wire)
    except ClientGone:
        return
    finally:
        gone.cancel()


async def _plain(
    dispatcher: Dispatcher,
    chat: ChatRequest,
    gone: Gone,
    key: str,
    send: Send,
    wire: Wire | None,
) -> None:
    answer = await dispatcher.open(chat, gone, key=key, route="chat")
    try:
        body = joined(await answer.next())  # of a plain answer the first pieces are all
        headers = [*JSON, *answer_headers(answer, chat.id)]
        if wire is not None:
            wire.answer(200, [*headers, (b"content-length", b"%d" % len(body))], body)
        else:
            await send_whole(send, 200, headers, body)
    finally:
        answer.close()


async def _stream(
    dispatcher: Dispatcher, chat: ChatRequest, gone: Any, key: str, stream: EventStream
) -> None:
    stream.keep_alive()
    answer = None
    try:
        answer = await dispatcher.open(chat, gone, key=key, route="chat")
        await stream.quiet()
        if stream.started:
            await stream.write(b": node " + answer.node.encode() + b"\n\n")
        else:
            await stream.start(answer_headers(answer, chat.id))
        await pump(answer, stream, DONE)
    except DplError as error:
        await stream.quiet()
        if not stream.started or isinstance(error, ClientGone):
            raise
        await stream.end(b"data: " + error_body(error) + b"\n\n")
    finally:
        stream.close()
        if answer is not None:
            answer.close()


class ModelsController(Controller):
    """Every name some node serves, as OpenAI lists models."""

    path = "/v1/models"
    guards = [user]  # noqa: RUF012 - the framework's own way to say it

    @get()
    async def list_models(self, view: NamedDependency[FleetView]) -> dict[str, Any]:
        """All models of all nodes, loaded or not."""
        return {"object": "list", "data": [_model(name) for name in view.model_names()]}

    @get("/{model:path}")
    async def one_model(
        self, model: FromPath[str], view: NamedDependency[FleetView]
    ) -> dict[str, Any]:
        """Raises: ModelUnknown, naming what looks like it."""
        name = model.removeprefix("/")
        names = view.model_names()
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ModelUnknown(f"no node has the model {name!r}{hint}", near)
        return _model(name)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "dpl"}
