"""DplError -> HTTP: status, headers, and the envelope that the path's protocol expects.

For the framework's handlers here, for inference calls in `front.direct`. What is told in
mid-stream is the surface's `Voice.broken`.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from dpl_router.errors import (
    BadRequest,
    DplError,
    MethodNotAllowed,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    TooLarge,
    Unsupported,
    UpstreamBusy,
    UpstreamError,
)
from dpl_router.surfaces import anthropic, ollama_words, openai

log = structlog.get_logger()

PROBLEM = "application/problem+json"


def envelope(path: str, error: DplError) -> tuple[str, bytes]:
    """(content type, body): Ollama's on its paths, OpenAI's under /v1 (but for what is
    Anthropic's there), problem+json (RFC 9457) everywhere else."""
    if path.rstrip("/") in ollama_words.PATHS or path.startswith(ollama_words.BLOBS):
        return "application/json; charset=utf-8", ollama_words.error_body(error)
    if path.rstrip("/") in anthropic.PATHS:
        return "application/json", anthropic.error_body(error)
    if path == "/v1" or path.startswith("/v1/"):
        return "application/json", openai.error_body(error)
    problem = {
        "type": "about:blank",
        "title": error.code.replace("_", " "),
        "status": error.status,
        "detail": error.message,
        "code": error.code,
    }
    if isinstance(error, BadRequest) and error.param:
        problem["param"] = error.param
    return PROBLEM, msgspec.json.encode(problem)


def headers_of(error: DplError) -> dict[str, str]:
    """What a client needs besides the body."""
    headers: dict[str, str] = {}
    wait = getattr(error, "retry_after", None)
    if wait is None and isinstance(error, UpstreamBusy):
        wait = 1.0
    if wait is not None:
        headers["retry-after"] = str(max(1, math.ceil(wait)))
    if isinstance(error, NotAuthenticated):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.allow)
    if isinstance(error, UpstreamError) and not isinstance(error, UpstreamBusy):
        headers["x-should-retry"] = "false"  # every node that could be tried was
    return headers


def told(scope: Any, error: DplError) -> tuple[str, bytes, dict[str, str]]:
    """(content type, body, headers) of the answer to a request that failed."""
    headers = headers_of(error)
    if request_id := scope.get("state", {}).get("request_id"):
        headers["x-request-id"] = request_id
    return *envelope(scope["path"], error), headers


def _answer(request: Request, error: DplError) -> Response[bytes]:  # type: ignore[type-arg]
    media_type, body, headers = told(request.scope, error)
    path = request.scope["path"]
    if "text/html" in request.headers.get("accept", "") and (
        isinstance(error, NotAuthenticated)
        or (media_type == PROBLEM and isinstance(error, NotAllowed | NotFound))
    ):
        media_type = "text/html"
        body = request.app.state.refused_page.render(error=error, path=path).encode()
        headers |= {"cache-control": "no-store", "vary": "accept"}
    return Response(body, media_type=media_type, status_code=error.status, headers=headers)


def from_framework(error: HTTPException, allow: str | None = None) -> DplError:
    """The framework's own refusals (no such path, a bad parameter) in our words."""
    match error.status_code:
        case 404:
            return NotFound("nothing is served at this path; /schema lists what is served here")
        case 405:
            methods = [method.strip() for method in (allow or "").split(",") if method.strip()]
            return MethodNotAllowed("this path does not take this method", methods)
        case 413:
            return TooLarge("the body is larger than this path takes")
        case 415:
            return Unsupported(error.detail)
        case _:
            return BadRequest(_spoken(error))


def _spoken(error: HTTPException) -> str:
    """The first thing that is wrong, with its place."""
    extra = error.extra
    if isinstance(extra, list) and extra and isinstance(extra[0], Mapping):
        return f"{extra[0].get('key', 'a parameter')}: {extra[0].get('message', error.detail)}"
    return error.detail


def on_refusal(request: Request, error: DplError) -> Response[bytes]:  # type: ignore[type-arg]
    return _answer(request, error)


def on_framework(request: Request, error: HTTPException) -> Response[bytes]:  # type: ignore[type-arg]
    if error.status_code >= 500:
        return on_bug(request, error)
    return _answer(request, from_framework(error, (error.headers or {}).get("Allow")))


def on_bug(request: Request, error: Exception) -> Response[bytes]:  # type: ignore[type-arg]
    """A mistake of ours: the log has the story, the client a request id to name it by."""
    log.error("request failed", path=request.scope["path"], exc_info=error)
    return _answer(request, failed())


def failed() -> DplError:
    return DplError("the router failed; its log knows more under this request id")


HANDLERS: ExceptionHandlersMap = {
    DplError: on_refusal,
    HTTPException: on_framework,
    Exception: on_bug,
}
