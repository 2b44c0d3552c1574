"""An Ollama call that asks nothing: its model is loaded, or unloaded with `keep_alive: 0`."""

import re
import time
from collections.abc import Mapping

import msgspec
from litestar.types import HTTPScope, Send

from dpl_router.conversation import ChatRequest
from dpl_router.dispatch.sharing import unless_gone
from dpl_router.errors import BadRequest, ClientGone, ModelUnknown
from dpl_router.models import Models, Warmed
from dpl_router.security.guards import admit
from dpl_router.security.keys import Role
from dpl_router.surfaces.ollama_words import JSON
from dpl_router.surfaces.relay import Header, send_whole, wire_of
from dpl_router.translation.ollama_writer import moment

SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
PART = re.compile(rf"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)({'|'.join(SECONDS)})")
DURATION = re.compile(rf"[+-]?(0|(?:{PART.pattern})+)")
LONGEST = 100
"""Characters of a duration."""
LEAST = 1.0
"""Seconds for which a model is kept; less is none, since nobody could use it meanwhile."""


class OllamaCall(ChatRequest):
    empty: bool = False
    """Nothing is asked: the model shall be loaded, or unloaded where `keep_alive` is 0."""
    keep_alive: int | float | str | None = None
    """Seconds, or a duration as Go writes it; negative: for ever."""


def means_unload(keep_alive: int | float | str | None) -> bool:
    """Unless it clearly is a time to keep the model. Raises: BadRequest for what is no duration."""
    if keep_alive is None:
        return False
    seconds = _seconds(keep_alive) if isinstance(keep_alive, str) else keep_alive
    return -LEAST < seconds < LEAST


def _seconds(duration: str) -> float:
    """As Go's time.ParseDuration reads it."""
    if len(duration) > LONGEST or DURATION.fullmatch(duration) is None:
        raise BadRequest(f"time: invalid duration {duration[:LONGEST]!r}", param="keep_alive")
    seconds = sum(float(number) * SECONDS[unit] for number, unit in PART.findall(duration))
    return -seconds if duration.startswith("-") else seconds


def permit_unload(call: OllamaCall, scope: HTTPScope) -> None:
    """A call that asks nothing must not take the model from others, unless by an operator.

    Raises: NotAllowed, BadRequest.
    """
    if call.empty and means_unload(call.keep_alive):
        admit(scope, scope["app"].state, Role.OPERATOR)


async def serve_empty(
    call: OllamaCall, silence: Mapping[str, object], scope: HTTPScope, send: Send
) -> None:
    """One JSON object, also where a stream was asked for; `silence` is its empty answer.

    Whoever may chat may load, since a chat loads as well; to unload needs an operator, since it
    takes the model from others. Raises: DplError.
    """
    if not call.model:
        raise BadRequest("name the model that shall be loaded", param="model")
    models: Models = scope["app"].state.models
    gone = wire_of(scope).left()
    headers: list[Header] = [*JSON, (b"x-request-id", call.id.encode())]
    try:
        permit_unload(call, scope)
        if means_unload(call.keep_alive):
            await unless_gone(models.unload(call.model), gone)
            reason = "unload"
        else:
            warmed = await unless_gone(_loaded(call, models), gone)
            headers.append((b"x-dpl-node", warmed.node.encode()))
            reason = "load"
    except ClientGone:
        return
    finally:
        gone.cancel()
    document = {"model": call.model, "created_at": moment(time.time()), **silence}
    body = msgspec.json.encode({**document, "done": True, "done_reason": reason})
    await send_whole(send, 200, headers, body)


async def _loaded(call: OllamaCall, models: Models) -> Warmed:
    """A model that no node has is pulled first, where that is allowed."""
    try:
        return await models.load(call.model, keep_alive=call.keep_alive)
    except ModelUnknown:
        if not await models.ensure(call.model):
            raise
    return await models.load(call.model, keep_alive=call.keep_alive)
