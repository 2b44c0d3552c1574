"""OpenAI's protocol under /v1: chat completions, and the envelope of its errors."""

import msgspec
from litestar import asgi
from litestar.types import HTTPScope, Receive, Send

from dpl_router.bodies import decoded
from dpl_router.conversation import ChatRequest
from dpl_router.errors import BadRequest, DplError, TooLarge
from dpl_router.security.guards import user
from dpl_router.surfaces.answering import Voice, serve, sse_comment
from dpl_router.surfaces.reading import (
    StreamOptions,
    limit,
    named,
    read_call,
    text_bytes,
    tokens_in,
)

MOST_MESSAGES = 4096
DONE = b"data: [DONE]\n\n"


class _Message(msgspec.Struct):
    role: str


class _Body(msgspec.Struct):
    """What the router must know of the body; everything else passes through."""

    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


_decode = msgspec.json.Decoder(_Body).decode


def decode_chat(body: bytes, request_id: str) -> ChatRequest:
    """Raises: BadRequest, with the place in the body."""
    said = decoded(_decode, body)
    if not said.messages:
        raise BadRequest("messages is empty; send at least one message", param="messages")
    if len(said.messages) > MOST_MESSAGES:
        raise TooLarge(f"more than {MOST_MESSAGES} messages", param="messages")
    return ChatRequest(
        id=request_id,
        model=named(said.model),
        body=body,
        stream=bool(said.stream),
        wants_usage=bool(said.stream_options and said.stream_options.include_usage),
        prompt_tokens=tokens_in(text_bytes(body)),
        max_tokens=limit(said.max_completion_tokens, said.max_tokens),
    )


def error_body(error: DplError) -> bytes:
    """OpenAI's envelope."""
    return msgspec.json.encode({"error": told(error)})


def told(error: DplError) -> dict[str, object]:
    """What is wrong, with all four keys that OpenAI's clients read."""
    return {
        "message": error.message,
        "type": _error_type(error.status),
        "param": getattr(error, "param", None),
        "code": error.code,
    }


def _error_type(status: int) -> str:
    words = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return words.get(status, "invalid_request_error" if status < 500 else "server_error")


def error_event(error: DplError) -> bytes:
    """A failure after the head has left: the last event, and no [DONE]."""
    return b"data: " + error_body(error) + b"\n\n"


CHAT = Voice("chat", error_event, last=DONE, comment=sse_comment)


@asgi("/v1/chat/completions", guards=[user], copy_scope=False)
async def chat_completions(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Answer as OpenAI chat chunks, or whole."""
    chat = await read_call(scope, receive, decode_chat)
    await serve(chat, CHAT, scope, send)
