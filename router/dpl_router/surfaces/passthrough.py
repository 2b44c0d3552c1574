"""Calls under /v1 that only some nodes know: routed by model, passed on and back as they are."""

import re
from collections.abc import Callable, Iterator

import msgspec
from litestar import asgi
from litestar.types import HTTPScope, Receive, Send

from dpl_router.conversation import ChatRequest
from dpl_router.errors import BadRequest, DplError, Unsupported
from dpl_router.security.guards import user
from dpl_router.surfaces import anthropic, openai
from dpl_router.surfaces.answering import Voice, serve_where_known, sse_comment
from dpl_router.surfaces.reading import (
    decoded,
    limit,
    named,
    permit,
    read_call,
    text_bytes,
    tokens_in,
    trace_of,
)
from dpl_router.surfaces.relay import headers_of, read_body

NOTHING_TO_WRITE = 1
"""Tokens of an answer that is no text."""
AUDIO_BYTES_PER_TOKEN = 1024
"""A guess: a second of compressed speech is some 16 KB and a few words."""

BOUNDARY = re.compile(r'multipart/form-data\s*;\s*boundary=(?:"([^"\r\n]{1,70})"|([^;,\s"]{1,70}))')
FIELD = re.compile(
    rb'content-disposition:\s*form-data;\s*name="([^"\\\r\n]*)"'
    rb'(;\s*filename="[^"\r\n]*")?(;\s*filename\*=[^;"\r\n]*)?\s*',
    re.IGNORECASE,
)


class _Body(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    max_output_tokens: int | None = None


_decode = msgspec.json.Decoder(_Body).decode


def to(path: str, most: int | None = None) -> Callable[[bytes, str], ChatRequest]:
    """What decodes a JSON body that goes to `path`; `most`: tokens of its answers, if known."""

    def decode(body: bytes, request_id: str) -> ChatRequest:
        said = decoded(_decode, body)
        return ChatRequest(
            id=request_id,
            model=named(said.model),
            body=body,
            stream=bool(said.stream),
            wants_usage=True,
            prompt_tokens=tokens_in(text_bytes(body)),
            max_tokens=most or limit(said.max_output_tokens, said.max_tokens),
            api="opaque",
            path=path,
        )

    return decode


def form_call(body: bytes, content_type: str, path: str, request_id: str) -> ChatRequest:
    """A form with a file; it goes on as it came.

    Raises: Unsupported, BadRequest: no form, or not exactly one model named in it.
    """
    found = BOUNDARY.match(content_type)
    if found is None:
        raise Unsupported("send multipart/form-data with a boundary")
    fields: dict[bytes, list[bytes]] = {}
    for name, value in parts(body, (found[1] or found[2]).encode()):
        fields.setdefault(name, []).append(value)
    models = fields.get(b"model", [])
    if len(models) != 1 or not models[0] or models[0] == b"auto":
        raise BadRequest("name one model in the form field `model`", param="model")
    return ChatRequest(
        id=request_id,
        model=models[0].decode(errors="replace"),
        body=body,
        stream=fields.get(b"stream", [b""])[-1].lower() in (b"true", b"1"),
        wants_usage=True,
        prompt_tokens=max(1, len(body) // AUDIO_BYTES_PER_TOKEN),
        api="opaque",
        path=path,
        content_type=content_type,
    )


def parts(body: bytes, boundary: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, value) of the fields; files have an empty value. Only the form that two parsers
    cannot read in two ways. Raises: BadRequest."""
    edge = b"\r\n--" + boundary
    at = len(edge) - 2 if body.startswith(edge[2:]) else -1
    while at >= 0 and not body.startswith(b"--", at):
        end = body.find(edge, at)
        head_end = body.find(b"\r\n\r\n", at, end)
        if not body.startswith(b"\r\n", at) or end < 0 or head_end < 0:
            at = -1
            break
        yield _field(body[at + 2 : head_end], body, head_end + 4, end)
        at = end + len(edge)
    if at < 0:
        raise BadRequest("the form is not whole, or not as RFC 7578 writes it")


def _field(head: bytes, body: bytes, start: int, end: int) -> tuple[bytes, bytes]:
    lines = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-disp")]
    found = FIELD.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None:
        raise BadRequest("a part of the form has no plain name")
    is_file = found[2] is not None or found[3] is not None
    return found[1], b"" if is_file else body[start:end]


def responses_event(error: DplError) -> bytes:
    """As the Responses API tells a failure; the SDKs raise what is under `error`."""
    told = openai.told(error)
    event = {**told, "type": "error", "sequence_number": 0, "error": told}
    return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"


RESPONSES = Voice("passthrough", responses_event, comment=sse_comment, as_the_node=True)
MESSAGES = Voice("passthrough", anthropic.error_event, comment=sse_comment, as_the_node=True)
OTHER = Voice("passthrough", openai.error_event, comment=sse_comment, as_the_node=True)

decode_response = to("/v1/responses")
decode_message = to("/v1/messages")
decode_count = to("/v1/messages/count_tokens", NOTHING_TO_WRITE)
decode_rerank = to("/v1/rerank", NOTHING_TO_WRITE)


@asgi("/v1/responses", guards=[user], copy_scope=False)
async def responses(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """OpenAI's Responses."""
    call = await read_call(scope, receive, decode_response)
    await serve_where_known(call, RESPONSES, scope, receive, send)


@asgi("/v1/messages", guards=[user], copy_scope=False)
async def messages(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Anthropic's Messages."""
    call = await read_call(scope, receive, decode_message)
    await serve_where_known(call, MESSAGES, scope, receive, send)


@asgi("/v1/messages/count_tokens", guards=[user], copy_scope=False)
async def count_tokens(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """How many tokens a call of Messages would send."""
    call = await read_call(scope, receive, decode_count)
    await serve_where_known(call, MESSAGES, scope, receive, send)


@asgi("/v1/rerank", guards=[user], copy_scope=False)
async def rerank(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Documents by their relevance to a query, as Jina and Cohere ask for it."""
    call = await read_call(scope, receive, decode_rerank)
    await serve_where_known(call, OTHER, scope, receive, send)


@asgi("/v1/audio/transcriptions", guards=[user], copy_scope=False)
async def transcriptions(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Speech to text; a form with the sound as `file`."""
    body = await read_body(scope, receive)
    headers = headers_of(scope)
    said = headers.get(b"content-type", b"").decode("latin-1")
    call = form_call(body, said, "/v1/audio/transcriptions", scope["state"]["request_id"])
    permit(scope, call.model)
    call.trace = trace_of(headers_of(scope))
    await serve_where_known(call, OTHER, scope, receive, send)
