"""A client's call, read as far as the router must know it; the rest stays in its bytes."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from litestar.types import HTTPScope, Receive

from dpl_router.conversation import ChatRequest
from dpl_router.errors import BadRequest
from dpl_router.loose_json import without_lone_surrogates
from dpl_router.models import Models
from dpl_router.security.keys import Identity
from dpl_router.surfaces.relay import awaited_body, body_here

AUTO = "auto"
LONGEST_ANSWER = 1_000_000
"""Tokens; a larger limit says no more to us. The node gets what the client wrote."""
PARSE_ON_LOOP = 256 * 1024
BASE64 = b";base64,"
NOTHING_TO_WRITE = 1
"""Tokens of an answer that is no text: its node needs no time to write it."""
NOTHING = re.compile(rb"\s*(null|\"\"|\[\s*\])\s*")
READ_BY_US = frozenset({"model", "name", "stream", "stream_options"})
TRACE = (b"traceparent", b"tracestate")
"""W3C Trace Context: what links the client's trace with the node's."""
LONGEST_TRACE = 512
SELECT = b"x-dpl-select"

Said = TypeVar("Said")
Call = TypeVar("Call", bound=ChatRequest)


class StreamOptions(msgspec.Struct):
    """OpenAI's."""

    include_usage: bool | None = None


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


async def read_call(
    scope: HTTPScope, receive: Receive, decode: Callable[[bytes, str], Call]
) -> Call:
    """A call with a JSON body, with the caller's right to use the model checked.

    `decode` has the body and the request's id. Raises: BadRequest and its kin, NotAllowed,
    ClientGone.
    """
    body = body_here(scope)  # without a coroutine, since it nearly always is
    if body is None:
        body = await awaited_body(scope, receive)
    state: Any = scope["state"]
    request_id: str = state["request_id"]
    if len(body) > PARSE_ON_LOOP:
        chat = await asyncio.to_thread(mended, decode, body, request_id)
    else:
        chat = mended(decode, body, request_id)
    identity: Identity = state["identity"]
    if identity.models:
        if chat.content_type == "application/json":
            refuse_look_alikes(chat.body)
        models: Models = scope["app"].state.models
        models.permit(identity, chat.model)
    chat.trace = trace_of(state["headers"])
    if SELECT in state["headers"]:
        chat.select = selected(state["headers"][SELECT])
    return chat


def mended(decode: Callable[[bytes, str], Call], body: bytes, request_id: str) -> Call:
    """What `decode` reads; half an emoji becomes U+FFFD, for the node too. Raises: BadRequest.

    Clients that cut a text in two send it, and real servers take it.
    """
    try:
        return decode(body, request_id)
    except BadRequest:
        whole = without_lone_surrogates(body)
        if whole == body:
            raise
    return decode(whole, request_id)


def nothing(said: msgspec.Raw) -> bool:
    """Whether there is nothing in what shall be embedded."""
    return NOTHING.fullmatch(said) is not None


def named(model: str | None) -> str:
    """As `ChatRequest.model` wants it: empty where the router may choose."""
    return "" if model is None or model == AUTO else model


def limit(*said: int | None) -> int | None:
    """The first limit of tokens that is one: 0 and less mean none, as engines take it."""
    for one in said:
        if one:
            return min(one, LONGEST_ANSWER) if one > 0 else None
    return None


def tokens_in(size: int) -> int:
    """An estimate for so many bytes of text; never 0."""
    return max(1, size // 4)


def text_bytes(body: bytes) -> int:
    """The body's size without images and files that stand in it as base64."""
    size, first = len(body), body.find(BASE64[:1])  # a byte alone is found ten times as fast
    at = body.find(BASE64, first) if first >= 0 else -1
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


def selected(header: bytes) -> dict[str, str]:
    """`rack=a, tier=fast` -> the labels that a node must have. Raises: BadRequest."""
    labels: dict[str, str] = {}
    for pair in header.decode("latin-1").split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals and value):
            raise BadRequest(
                "X-DPL-Select is LABEL=VALUE, several with commas between them; "
                f"{pair.strip()!r} is not"
            )
        labels[name] = value
    return labels


def trace_of(headers: Mapping[bytes, bytes]) -> dict[str, str] | None:
    """The trace context that goes on to the node; None where the client sent none."""
    if TRACE[0] not in headers and TRACE[1] not in headers:
        return None
    found = {name.decode(): headers.get(name, b"") for name in TRACE}
    return {
        name: value.decode()
        for name, value in found.items()
        if value and len(value) <= LONGEST_TRACE and value.isascii()
    }
