"""What Anthropic's clients hear when a call under /v1/messages fails."""

import msgspec

from dpl_router.errors import DplError
from dpl_router.surfaces import openai

PATHS = frozenset({"/v1/messages", "/v1/messages/count_tokens"})

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(error: DplError) -> bytes:
    """Anthropic's envelope; inside it the keys that everything under /v1 has."""
    return msgspec.json.encode({"type": "error", "error": _told(error)})


def error_event(error: DplError) -> bytes:
    """A failure after the head has left: the last event, instead of message_stop."""
    return b"event: error\ndata: " + error_body(error) + b"\n\n"


def _told(error: DplError) -> dict[str, object]:
    usual = "invalid_request_error" if error.status < 500 else "api_error"
    return {**openai.told(error), "type": TYPES.get(error.status, usual)}
