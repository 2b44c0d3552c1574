"""Calls an ASGI app as a server would, without a server."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request, Response
from litestar.datastructures import State

from dpl_router.errors import DplError
from dpl_router.security.guards import default_deny
from dpl_router.security.keys import KeyRing


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


async def call(
    app: Any,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    client: tuple[str, int] | None = ("127.0.0.1", 5000),
    raw: list[tuple[bytes, bytes]] | None = None,
    state: dict[str, Any] | None = None,
) -> Answer:
    """`raw` headers come after `headers`; `state` is what the app may leave in its scope."""
    listed = [(name.lower().encode(), text.encode()) for name, text in (headers or {}).items()]
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": listed + (raw or []),
        "client": client,
        "server": ("127.0.0.1", 8000),
        "state": {} if state is None else state,
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], head, body)


def told(_: Request[Any, Any, Any], error: DplError) -> Response[str]:
    return Response(
        error.message,
        status_code=error.status,
        headers={"retry-after": str(getattr(error, "retry_after", ""))},
    )


def application(handlers: list[Any], ring: KeyRing | None) -> Litestar:
    return Litestar(
        handlers,
        guards=[default_deny],
        exception_handlers={DplError: told},
        state=State({"keyring": ring}),
        openapi_config=None,
    )
