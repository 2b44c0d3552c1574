"""Calls under /v1 that only some nodes know: routed by model, passed on and back as they are."""

from collections.abc import Callable
from functools import partial

import msgspec
from litestar import asgi
from litestar.types import HTTPScope, Receive, Send

from dpl_router.bodies import decoded
from dpl_router.conversation import ChatRequest
from dpl_router.errors import BadRequest, DplError
from dpl_router.security.guards import user
from dpl_router.surfaces import anthropic, openai
from dpl_router.surfaces.answering import Voice, serve_where_known, sse_comment
from dpl_router.surfaces.form import read_form
from dpl_router.surfaces.reading import (
    NOTHING_TO_WRITE,
    limit,
    named,
    read_call,
    text_bytes,
    tokens_in,
)
from dpl_router.surfaces.relay import headers_of

AUDIO_BYTES_PER_TOKEN = 1024
"""A guess: a second of compressed speech is some 16 KB and a few words."""


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


def form_call(body: bytes, request_id: str, *, content_type: str, path: str) -> ChatRequest:
    """A form with a file; it goes on as it came.

    Raises: Unsupported, BadRequest: no form, or not exactly one model named in it.
    """
    form = read_form(body, content_type)
    start, end = form.fields.get(b"model", (0, 0))
    first, last = form.fields.get(b"stream", (0, 0))
    return ChatRequest(
        id=request_id,
        model=_model(body[start:end]),
        body=body,
        stream=body[first:last].lower() in (b"true", b"1"),
        wants_usage=True,
        prompt_tokens=max(1, len(body) // AUDIO_BYTES_PER_TOKEN),
        api="opaque",
        path=path,
        content_type=form.content_type,
        model_at=(start, end),
    )


def _model(value: bytes) -> str:
    try:
        model = named(value.decode())
    except UnicodeDecodeError:
        raise BadRequest("the form field `model` is not UTF-8", param="model") from None
    if not model:
        raise BadRequest("name one model in the form field `model`", param="model")
    return model


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
    await serve_where_known(call, RESPONSES, scope, send)


@asgi("/v1/messages", guards=[user], copy_scope=False)
async def messages(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Anthropic's Messages."""
    call = await read_call(scope, receive, decode_message)
    await serve_where_known(call, MESSAGES, scope, send)


@asgi("/v1/messages/count_tokens", guards=[user], copy_scope=False)
async def count_tokens(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """How many tokens a call of Messages would send."""
    call = await read_call(scope, receive, decode_count)
    await serve_where_known(call, MESSAGES, scope, send)


@asgi("/v1/rerank", guards=[user], copy_scope=False)
async def rerank(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Documents by their relevance to a query, as Jina and Cohere ask for it."""
    call = await read_call(scope, receive, decode_rerank)
    await serve_where_known(call, OTHER, scope, send)


@asgi("/v1/audio/transcriptions", guards=[user], copy_scope=False)
async def transcriptions(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Speech to text; a form with the sound as `file`."""
    said = headers_of(scope).get(b"content-type", b"").decode("latin-1")
    decode = partial(form_call, content_type=said, path="/v1/audio/transcriptions")
    call = await read_call(scope, receive, decode)
    await serve_where_known(call, OTHER, scope, send)
