"""The front door: which `Host` we answer to, the request's id, what browsers are told.

Plain ASGI around the app, since the framework's own host check was bypassed twice.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from itertools import count
from typing import Any

from dpl_router.errors import DplError, NotAllowed
from dpl_router.settings import LOOPBACK, Address

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]
ErrorBody = Callable[[str, DplError], tuple[str, bytes]]
"""(path, error) -> content type and body, in the envelope of that path."""

SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::\d*)?")
MOST_SEEN = 256
"""Spellings of our own names that are remembered: a caller may add any port."""
BROWSER = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # with none a form of our own has no origin
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def host_name(header: bytes) -> str:
    """`Host` without its port and brackets, in small letters; empty where it is no host."""
    found = HOST.fullmatch(header.decode("latin-1").strip().lower())
    return found[1].strip("[]") if found else ""


class Hosts:
    """The names by which callers may address us."""

    def __init__(self, listen: Address, allowed: Iterable[str] = ()) -> None:
        """`allowed`: those of nodes.yaml, beside the loopback ones and that of `listen`."""
        self._own = (*LOOPBACK, listen.host)
        self.seen: set[bytes] = set()
        """`Host` headers that were found to be one of them."""
        self.allow(allowed)

    def allow(self, allowed: Iterable[str]) -> None:
        """From now on these."""
        self._names = frozenset(name.strip("[]").lower() for name in (*self._own, *allowed))
        self.seen.clear()

    def welcome(self, header: bytes) -> bool:
        """An empty one, or none (HTTP/1.0), comes from no browser."""
        if not header:
            return True
        welcome = host_name(header) in self._names
        if welcome and len(self.seen) < MOST_SEEN:
            self.seen.add(header)
        return welcome


class FrontDoor:
    """The headers lie as a mapping in the scope's state, for whoever comes after.

    `hot` has an application of its own for each of its paths. Their answers are not touched: they
    write X-Request-Id themselves.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: Hosts,
        error_body: ErrorBody,
        hot: Mapping[str, App] | None = None,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._error_body = error_body
        self._hot = hot or {}
        self._prefix = secrets.token_hex(6)
        self._numbers = count(1)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """No coroutine of its own, since it has nothing to do once the door is passed."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        state, listed = scope.setdefault("state", {}), scope["headers"]
        headers = state.get("headers")
        if headers is None:
            headers = state["headers"] = dict(listed)
        given = headers.get(b"x-request-id")
        if given is not None and SANE_ID.fullmatch(given):
            request_id = given.decode()
        else:
            request_id = f"{self._prefix}-{next(self._numbers):x}"
        state["request_id"] = request_id
        host = headers.get(b"host", b"")
        several = len(headers) != len(listed) and _hosts_in(listed) > 1
        if several or not (host in self._hosts.seen or self._hosts.welcome(host)):
            return self._refuse(scope["path"], host, _decorated(send, request_id.encode()))
        hot = self._hot.get(scope["path"])
        if hot is not None:
            return hot(scope, receive, send)
        return self._app(scope, receive, _decorated(send, request_id.encode()))

    async def _refuse(self, path: str, host: bytes, send: Send) -> None:
        name = host.decode("latin-1")[:100]
        error = NotAllowed(
            f"this router does not answer to the host name {name!r}; if it is one of its names, "
            "add it to router.allowed_hosts in nodes.yaml"
        )
        content_type, body = self._error_body(path, error)
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _hosts_in(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """One with two is no request."""
    return sum(name == b"host" and bool(value) for name, value in headers)


def _decorated(send: Send, request_id: bytes) -> Send:
    async def decorated(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), *BROWSER]
            if all(name.lower() != b"x-request-id" for name, _ in headers):
                headers.append((b"x-request-id", request_id))
            message = {**message, "headers": headers}
        await send(message)

    return decorated
