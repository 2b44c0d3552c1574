"""What there is to know of one model, as Ollama's /api/show tells it."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import asgi
from litestar.types import HTTPScope, Receive, Send

from dpl_router.bodies import decoded
from dpl_router.dispatch.refusals import cut, unknown
from dpl_router.dispatch.sharing import unless_gone
from dpl_router.errors import BadRequest, DplError, ModelUnknown
from dpl_router.listing import Listed
from dpl_router.models import Models
from dpl_router.security.guards import identity_of, viewer
from dpl_router.security.keys import Role
from dpl_router.surfaces.ollama_models import UNSAID, details
from dpl_router.surfaces.ollama_words import JSON, in_ollamas_words
from dpl_router.surfaces.relay import (
    Header,
    read_body,
    send_whole,
    wire_of,
)
from dpl_router.telemetry.view import FleetView
from dpl_router.upstreams.base import Request
from dpl_router.upstreams.clients import NodeClient

PATIENCE = 5.0
"""Seconds for one node: a real Ollama shows a model within milliseconds, however busy it is."""
LONGEST = 32 * 1024 * 1024
"""A verbose answer has the whole vocabulary."""


class _Show(msgspec.Struct):
    model: str | None = None
    name: str | None = None
    """What `model` was called before."""
    verbose: bool = False


_show = msgspec.json.Decoder(_Show).decode


class Shelf:
    """Asks the nodes that have a model until one shows it."""

    def __init__(self, view: FleetView, clients: Mapping[str, NodeClient]) -> None:
        self._view = view
        self._clients = clients

    async def show(self, name: str, verbose: bool) -> tuple[str, bytes]:
        """(node, JSON). Made of what is listed, where no node has a word of its own.

        Raises: ModelUnknown.
        """
        ours = self._view.names.resolve(name)
        having = self._view.models(time.monotonic()).get(ours)
        if not having:
            raise unknown(name, self._view.names.near(cut(name)))
        nodes = [node for node, _ in sorted(having, key=lambda each: not each[1].loaded)]
        for node in nodes:
            client = self._clients.get(node)
            keeping = client.keeping if client is not None else None
            if client is not None and keeping is not None:
                own = self._view.names.at(node, ours).own
                body = await _asked(client, keeping.show(own, verbose))
                if body is not None:
                    return node, body
        return nodes[0], msgspec.json.encode(made_of(self._view.listed(nodes[0], ours)))


async def _asked(client: NodeClient, request: Request) -> bytes | None:
    try:
        async with asyncio.timeout(PATIENCE):
            return await client.answer(request, LONGEST)
    except (DplError, TimeoutError):
        return None


def made_of(listed: Listed) -> dict[str, Any]:
    """Of a model on a server that is no Ollama."""
    family = listed.details.get("family") or "unknown"
    info: dict[str, Any] = {"general.architecture": family}
    if listed.context is not None:
        info[f"{family}.context_length"] = listed.context
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": details(listed),
        "model_info": info,
        "capabilities": listed.details.get("capabilities") or ["completion"],
        "modified_at": listed.details.get("modified_at", UNSAID),
    }


@asgi("/api/show", guards=[viewer], copy_scope=False)
async def show(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """`X-DPL-Node` names whose word it is."""
    body = await read_body(scope, receive)
    if not body:
        raise BadRequest("missing request body")
    said = decoded(_show, body)
    name = said.model or said.name
    if not name:
        raise BadRequest("model is required", param="model")
    shelf: Shelf = scope["app"].state.shelf
    with in_ollamas_words(name):
        try:
            node, shown = await shelf.show(name, said.verbose)
        except ModelUnknown:
            if not await _pulled(name, scope):
                raise
            node, shown = await shelf.show(name, said.verbose)
    headers: list[Header] = [*JSON, (b"x-dpl-node", node.encode())]
    await send_whole(send, 200, headers, shown)


async def _pulled(name: str, scope: HTTPScope) -> bool:
    """Whether it is here now. Who may not ask the model anything makes nobody pull it."""
    identity = identity_of(scope)
    if identity.role < Role.USER or not identity.may_use(name):
        return False
    models: Models = scope["app"].state.models
    gone = wire_of(scope).left()
    try:
        return await unless_gone(models.ensure(name), gone)
    finally:
        gone.cancel()
