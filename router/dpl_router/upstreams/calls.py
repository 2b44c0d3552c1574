"""A client's call on its way to a node: what every dialect does with its head and its body."""

from collections.abc import Mapping
from typing import Any

import msgspec

from dpl_router.conversation import ChatRequest
from dpl_router.errors import BadRequest, UpstreamBroke
from dpl_router.loose_json import FIELDS, MALFORMED, OBJECT, raw, readable
from dpl_router.upstreams.base import Head, Request
from dpl_router.upstreams.complaint import sanitised

JSON = "application/json"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
ANY = "*/*"

SAID: Mapping[str, Mapping[str, str]] = {
    accept: {"Content-Type": JSON, "Accept": accept} for accept in (JSON, SSE, NDJSON, ANY)
}
"""One object for all calls of a kind: the transport makes its lines once."""


def post(call: ChatRequest, path: str, body: bytes, accept: str) -> Request:
    """With the headers that may leave for a node, and no others."""
    headers = SAID[accept]
    if call.content_type != JSON:
        headers = {**headers, "Content-Type": call.content_type}
    if call.trace:
        headers = {**headers, **call.trace}
    return Request("POST", path, body, headers, call.id)


def media_type(head: Head) -> str:
    """In lower case, without parameters; empty where the node did not say."""
    return head.headers.get("content-type", "").partition(";")[0].strip().lower()


def renamed(call: ChatRequest, model: str) -> bytes:
    """The client's JSON with the node's name of the model; the very bytes where it is the same."""
    if call.model == model:
        return call.body
    return msgspec.json.encode({**FIELDS.decode(call.body), "model": raw(model)})


def odd(error: Exception) -> BadRequest:
    """For one of `ODD` out of what says a client's body in other words."""
    return BadRequest(f"the body holds a value that no node can be told: {error}")


def unreadable(error: Exception) -> UpstreamBroke:
    """For one of `ODD` out of what reads a node's answer."""
    return UpstreamBroke(f"its answer cannot be read: {sanitised(str(error))}")


def body_of(call: ChatRequest) -> Mapping[str, Any]:
    """The client's JSON, to be said in other words. Raises: BadRequest."""
    try:
        return readable(OBJECT.decode, call.body)[0]
    except MALFORMED as error:
        raise BadRequest(f"the body is no JSON object: {error}") from None
