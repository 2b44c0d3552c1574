"""OpenAI's completions and embeddings under /v1."""

import msgspec
from litestar import asgi
from litestar.types import HTTPScope, Receive, Send

from dpl_router.bodies import decoded
from dpl_router.conversation import ChatRequest
from dpl_router.errors import BadRequest
from dpl_router.loose_json import NULL
from dpl_router.security.guards import user
from dpl_router.surfaces.answering import Voice, serve_where_known, sse_comment
from dpl_router.surfaces.openai import DONE, error_event
from dpl_router.surfaces.reading import (
    NOTHING_TO_WRITE,
    StreamOptions,
    limit,
    named,
    nothing,
    read_call,
    text_bytes,
    tokens_in,
)

COMPLETIONS = Voice("completions", error_event, last=DONE, comment=sse_comment)
EMBEDDINGS = Voice("embeddings", error_event)


class _Completion(msgspec.Struct):
    """As `openai._Body`: everything else passes through."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None


class _Embedding(msgspec.Struct):
    model: str | None = None
    input: msgspec.Raw = NULL
    encoding_format: str | None = None


_completion = msgspec.json.Decoder(_Completion).decode
_embedding = msgspec.json.Decoder(_Embedding).decode


def decode_completion(body: bytes, request_id: str) -> ChatRequest:
    """Raises: BadRequest."""
    said = decoded(_completion, body)
    return ChatRequest(
        id=request_id,
        model=named(said.model),
        body=body,
        stream=bool(said.stream),
        wants_usage=bool(said.stream_options and said.stream_options.include_usage),
        prompt_tokens=tokens_in(text_bytes(body)),
        max_tokens=limit(said.max_tokens),
        api="openai.completion",
    )


def decode_embedding(body: bytes, request_id: str) -> ChatRequest:
    """Raises: BadRequest, where nothing is to be embedded."""
    said = decoded(_embedding, body)
    if nothing(said.input):
        raise BadRequest("input is empty; send a text, tokens, or a list of them", param="input")
    if said.encoding_format not in (None, "float", "base64"):
        raise BadRequest("encoding_format is float or base64", param="encoding_format")
    return ChatRequest(
        id=request_id,
        model=named(said.model),
        body=body,
        stream=False,
        wants_usage=True,
        prompt_tokens=tokens_in(len(body)),
        max_tokens=NOTHING_TO_WRITE,
        api="openai.embedding",
    )


@asgi("/v1/completions", guards=[user], copy_scope=False)
async def completions(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Answer as OpenAI text completions, chunks or whole."""
    call = await read_call(scope, receive, decode_completion)
    await serve_where_known(call, COMPLETIONS, scope, send)


@asgi("/v1/embeddings", guards=[user], copy_scope=False)
async def embeddings(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Vectors in the order of the inputs, as floats or base64."""
    call = await read_call(scope, receive, decode_embedding)
    await serve_where_known(call, EMBEDDINGS, scope, send)
