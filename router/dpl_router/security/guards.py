"""Litestar guards, one for each role. A handler without one is closed to everybody.

They run for raw handlers too, before each request: a right key costs one hash and two look-ups.
The app's state holds `keyring` (a KeyRing, or None where there is no keys file) and `sessions`.
"""

import time
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from dpl_router.errors import NotAllowed, NotAuthenticated, Overloaded
from dpl_router.security.browser import Headers, cookie_counts, refuse_foreign, refuse_unproven
from dpl_router.security.keys import EVERYONE, Identity, KeyRing, Role
from dpl_router.security.limits import WrongKeys
from dpl_router.security.sessions import cookies

ANTHROPIC = frozenset({"/v1/messages", "/v1/messages/count_tokens"})

Connection = ASGIConnection[Any, Any, Any, Any]


# Async, although nothing is awaited: Litestar would send a plain function to a thread.
async def viewer(connection: Connection, handler: BaseRouteHandler) -> None:
    admit(connection.scope, connection.app.state, Role.VIEWER)


async def user(connection: Connection, handler: BaseRouteHandler) -> None:
    admit(connection.scope, connection.app.state, Role.USER)


async def operator(connection: Connection, handler: BaseRouteHandler) -> None:
    admit(connection.scope, connection.app.state, Role.OPERATOR)


async def default_deny(connection: Connection, handler: BaseRouteHandler) -> None:
    """For the app: refuses handlers that say neither who may call nor `opt={"open": True}`."""
    if not guarded(handler):
        raise NotAllowed("nobody may call this: its handler names no role")


def guarded(handler: BaseRouteHandler) -> bool:
    """Whether a handler says who may call it."""
    guards = handler.resolve_guards()
    return viewer in guards or user in guards or operator in guards or bool(handler.opt.get("open"))


def identity_of(scope: Any) -> Identity:
    """Who was let in by the guard of this call."""
    identity: Identity = scope["state"]["identity"]
    return identity


def admit(scope: Any, state: Any, needed: Role) -> None:
    """Note in `scope` who calls; `state` is the app's. Raises: NotAuthenticated, NotAllowed,
    Overloaded."""
    headers: Headers = scope["state"].get("headers") or dict(scope["headers"])
    ring: KeyRing | None = state["keyring"]
    if b"origin" in headers:
        refuse_foreign(headers)
    if ring is None:
        refuse_unproven(scope["method"], headers)
        identity = EVERYONE
    else:
        identity = _signed_in(scope, state, headers) or _by_key(scope, state, headers)
    if identity.role < needed:
        raise NotAllowed(f"this needs a key of role {needed.word}; yours is {identity.role.word}")
    scope["state"]["identity"] = identity


def still_admitted(scope: Any, state: Any, needed: Role) -> bool:
    """Whether who was let in would be so now: for answers that outlive a key."""
    try:
        admit(scope, state, needed)
    except (NotAuthenticated, NotAllowed, Overloaded):
        return False
    return True


def _signed_in(scope: Any, state: Any, headers: Headers) -> Identity | None:
    """By the cookie of a browser that has shown a key; a key in the header goes first."""
    if b"cookie" not in headers or b"authorization" in headers:
        return None
    if not cookie_counts(scope["method"], scope["path"], headers):
        return None
    for token in cookies(headers[b"cookie"], headers.get(b"host", b"")):
        digest = state["sessions"].key_of(token)
        holder: Identity | None = digest and state["keyring"].holder(digest)
        if holder is not None:
            return holder
    return None


def _by_key(scope: Any, state: Any, headers: Headers) -> Identity:
    """Raises: NotAuthenticated, Overloaded."""
    found: Identity | None = state["keyring"].identify(_secret(scope["path"], headers))
    if found is None:
        raise wrong_key(state, scope)
    return found


def _secret(path: str, headers: Headers) -> str:
    """Anthropic's clients send their key in a header of its own."""
    if b"authorization" not in headers and b"x-api-key" in headers and path in ANTHROPIC:
        return headers[b"x-api-key"].decode(errors="surrogateescape")
    return _bearer(headers)


def _bearer(headers: Headers) -> str:
    scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
    secret = secret.strip()
    if scheme.lower() != b"bearer" or not secret:
        raise NotAuthenticated("this needs a key; send it as Authorization: Bearer KEY")
    return secret.decode(errors="surrogateescape")


def wrong_key(state: Any, scope: Any) -> NotAuthenticated | Overloaded:
    """Counted by the caller's address."""
    if "wrong_keys" not in state:
        state["wrong_keys"] = WrongKeys(time.monotonic)
    client = scope.get("client")
    wait = state["wrong_keys"].count(client[0] if client else "")
    if wait is None:
        return NotAuthenticated("this key is not known here; it may have been revoked or ended")
    return Overloaded("too many wrong keys from this address", retry_after=wait)
