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
MOST_KNOWN = 256
"""Spellings of our own names that are remembered: a caller may add any port."""
BROWSER = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def known_hosts(listen: Address, allowed: Iterable[str]) -> frozenset[str]:
    """The names by which callers may address us, as `FrontDoor` wants them."""
    names = {*LOOPBACK, listen.host, *allowed}
    return frozenset(name.strip("[]").lower() for name in names)


class Hosts:
    """`known_hosts`, made anew only when what `allowed` gives is another object."""

    def __init__(self, listen: Address, allowed: Callable[[], Iterable[str]]) -> None:
        self._listen = listen
        self._allowed = allowed
        self._made_of: Iterable[str] | None = None
        self._names: frozenset[str] = frozenset()

    def __call__(self) -> frozenset[str]:
        allowed = self._allowed()
        if allowed is not self._made_of:
            self._made_of, self._names = allowed, known_hosts(self._listen, allowed)
        return self._names


def host_name(header: bytes) -> str:
    """`Host` without its port and brackets, in small letters; empty where it is no host."""
    found = HOST.fullmatch(header.decode("latin-1").strip().lower())
    return found[1].strip("[]") if found else ""


class FrontDoor:
    """`hosts` is asked for each request, so that a reload needs no word to us.

    `hot` has an application of its own for each of its paths. Their answers are not touched: they
    write X-Request-Id themselves.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: Callable[[], frozenset[str]],
        error_body: ErrorBody,
        hot: Mapping[str, App] | None = None,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._error_body = error_body
        self._hot = hot or {}
        self._names: frozenset[str] = frozenset()
        self._known: set[bytes] = set()
        """`Host` headers that were found to be one of `_names`."""
        self._prefix = secrets.token_hex(6)
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        hosts, given = [], b""
        for name, value in scope["headers"]:
            if name == b"host" and value:
                hosts.append(value)
            elif name == b"x-request-id":
                given = value
        request_id = given if SANE_ID.fullmatch(given) else self._new_id()
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        if not self._welcome(hosts):
            await self._refuse(scope["path"], hosts[0], _decorated(send, request_id))
            return
        hot = self._hot.get(scope["path"])
        if hot is not None:
            await hot(scope, receive, send)
        else:
            await self._app(scope, receive, _decorated(send, request_id))

    def _new_id(self) -> bytes:
        return f"{self._prefix}-{next(self._numbers):x}".encode()

    def _welcome(self, hosts: list[bytes]) -> bool:
        """A call without `Host` (HTTP/1.0) comes from no browser; one with two is no request."""
        if len(hosts) != 1:
            return not hosts
        names = self._hosts()
        if names is not self._names:
            self._names = names
            self._known.clear()
        if hosts[0] in self._known:
            return True
        welcome = host_name(hosts[0]) in names
        if welcome and len(self._known) < MOST_KNOWN:
            self._known.add(hosts[0])
        return welcome

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


def _decorated(send: Send, request_id: bytes) -> Send:
    async def decorated(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), *BROWSER]
            if all(name.lower() != b"x-request-id" for name, _ in headers):
                headers.append((b"x-request-id", request_id))
            message = {**message, "headers": headers}
        await send(message)

    return decorated
