"""An Ollama call that asks nothing: its model is loaded, or unloaded with `keep_alive: 0`."""

import re
from collections.abc import Mapping

import msgspec
from litestar.types import HTTPScope, Receive, Send

from dpl_router.conversation import ChatRequest
from dpl_router.errors import BadRequest, ClientGone
from dpl_router.models import Models
from dpl_router.security.guards import admit
from dpl_router.security.keys import Role
from dpl_router.surfaces.ollama_words import JSON, moment
from dpl_router.surfaces.relay import Header, send_whole, unless_gone, watch, wire_of

NO_TIME = re.compile(r"[+-]?(0+(\.0*)?|\.0+)(ns|us|µs|ms|s|m|h)?")


class OllamaCall(ChatRequest):
    empty: bool = False
    """Nothing is asked: the model shall be loaded, or unloaded where `keep_alive` is 0."""
    keep_alive: int | float | str | None = None
    """Seconds, or a duration as Go writes it; negative: for ever."""


def means_unload(keep_alive: int | float | str | None) -> bool:
    if isinstance(keep_alive, str):
        return NO_TIME.fullmatch(keep_alive) is not None
    return keep_alive == 0 and keep_alive is not None


async def serve_empty(
    call: OllamaCall, silence: Mapping[str, object], scope: HTTPScope, receive: Receive, send: Send
) -> None:
    """One JSON object, also where a stream was asked for; `silence` is its empty answer.

    Whoever may chat may load, since a chat loads as well; to unload needs an operator, since it
    takes the model from others. Raises: DplError.
    """
    if not call.model:
        raise BadRequest("name the model that shall be loaded", param="model")
    models: Models = scope["app"].state.models
    gone = watch(receive, wire_of(scope))
    headers: list[Header] = [*JSON, (b"x-request-id", call.id.encode())]
    try:
        if means_unload(call.keep_alive):
            admit(scope, scope["app"].state, Role.OPERATOR)
            await unless_gone(models.unload(call.model), gone)
            reason = "unload"
        else:
            warmed = await unless_gone(models.load(call.model, keep_alive=call.keep_alive), gone)
            headers.append((b"x-dpl-node", warmed.node.encode()))
            reason = "load"
    except ClientGone:
        return
    finally:
        gone.cancel()
    document = {"model": call.model, "created_at": moment(), **silence}
    body = msgspec.json.encode({**document, "done": True, "done_reason": reason})
    await send_whole(send, 200, headers, body)
