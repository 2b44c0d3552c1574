"""Ollama's calls that change what nodes have: a model may be pulled, nothing else."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from litestar import Controller, Request, asgi, delete, head, post
from litestar.types import HTTPScope, Receive, Send

from dpl_router.bodies import decoded
from dpl_router.dispatch.sharing import unless_gone
from dpl_router.dispatch.wire import Gone
from dpl_router.errors import BadRequest, ClientGone, DplError, NotAllowed
from dpl_router.models import Models
from dpl_router.security.audit import AuditLog
from dpl_router.security.guards import identity_of, operator, user
from dpl_router.surfaces.ollama_words import JSON, NDJSON, error_line
from dpl_router.surfaces.relay import (
    EventStream,
    Header,
    read_body,
    send_whole,
    wire_of,
)

Progress = AsyncGenerator[Mapping[str, object], None]


class _Pull(msgspec.Struct):
    model: str | None = None
    name: str | None = None
    """What `model` was called before."""
    stream: bool | None = None
    node: str | None = None
    """Ours: where to; None leaves it to us."""


_pull = msgspec.json.Decoder(_Pull).decode


@asgi("/api/pull", guards=[operator], copy_scope=False)
async def pull(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Progress in Ollama's words, in lines or as its last word."""
    said = decoded(_pull, await read_body(scope, receive) or b"{}")
    name = said.model or said.name
    if not name:
        raise BadRequest("invalid model name", param="model")
    state = scope["app"].state
    models: Models = state.models
    models.permit(identity_of(scope), name)
    gone = wire_of(scope).left()
    request_id: str = scope["state"]["request_id"]
    outcome = "the client left"
    try:
        async with aclosing(models.pull(name, node=said.node)) as progress:
            if said.stream is False:
                headers = [*JSON, (b"x-request-id", request_id.encode())]
                outcome = await _whole(progress, gone, send, headers)
            else:
                stream = EventStream(send, request_id, state.streams, head=NDJSON)
                outcome = await _lines(progress, gone, stream, request_id)
    except ClientGone:
        return
    except DplError as error:
        outcome = error.message
        raise
    finally:
        gone.cancel()
        await _record(scope, state.audit, name, outcome)


async def _whole(progress: Progress, gone: Gone, send: Send, headers: list[Header]) -> str:
    last: Mapping[str, object] = {}
    while (document := await _next(progress, gone)) is not None:
        last = document
    await send_whole(send, 200, headers, msgspec.json.encode(last))
    return str(last.get("status"))


async def _lines(progress: Progress, gone: Gone, stream: EventStream, request_id: str) -> str:
    """The first word is awaited before the head leaves, so that a refusal is a status."""
    last: Mapping[str, object] = {}
    try:
        while (document := await _next(progress, gone)) is not None:
            if not stream.started:
                await stream.start([(b"x-request-id", request_id.encode())])
            last = document
            await stream.write(msgspec.json.encode(document) + b"\n")
        await stream.end()
    except DplError as error:
        if not stream.started or isinstance(error, ClientGone):
            raise
        await stream.end(error_line(error))
        return error.message
    finally:
        stream.close()
    return str(last.get("status"))


async def _next(progress: Progress, gone: Gone) -> Mapping[str, object] | None:
    return await unless_gone(anext(progress, None), gone)


async def _record(scope: HTTPScope, audit: AuditLog, name: str, outcome: str) -> None:
    client = scope.get("client")
    address = client[0] if client else ""
    await asyncio.to_thread(audit.record, identity_of(scope), address, "pull", name, outcome)


REFUSED = {
    "/api/create": "models are made on the node itself: run `ollama create` there",
    "/api/push": "models are pushed from the node itself: run `ollama push` there",
    "/api/copy": "a copy would be on one node only; name it in that node's `aliases` in nodes.yaml",
    "/api/delete": "models are deleted on the node itself: run `ollama rm` there",
}
NO_BLOBS = "models are made on the node itself; blobs are not passed on"


class RefusedController(Controller):
    """What one client must not do to the nodes of all: NotAllowed, always, with the reason."""

    path = "/api"
    guards = [user]  # noqa: RUF012 - the framework's own way to say it

    @post(["/create", "/push", "/copy"])
    async def refuse(self, request: Request[Any, Any, Any]) -> None:
        raise NotAllowed(REFUSED[request.scope["path"].rstrip("/")])

    @delete("/delete")
    async def keep(self) -> None:
        raise NotAllowed(REFUSED["/api/delete"])

    @post("/blobs/{digest:str}")
    async def take_no_blob(self) -> None:
        raise NotAllowed(NO_BLOBS)

    @head("/blobs/{digest:str}")
    async def has_no_blob(self) -> None:
        raise NotAllowed(NO_BLOBS)
