"""Everything the exporter answers, as one WSGI callable. The contract is the README's table."""

import json
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from wsgiref.types import StartResponse, WSGIEnvironment

from dpl_exporter.addresses import host_of, is_loopback
from dpl_exporter.errors import (
    BadRequest,
    MethodNotAllowed,
    NotAllowed,
    NotFound,
    Refused,
    TooLarge,
)
from dpl_exporter.keys import Keys, Role
from dpl_exporter.logs import quoted

LARGEST_BODY = 64 * 1024
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    content_type: str
    body: bytes
    status: str = "200 OK"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """`role` is what its callers need where there is a keys file; None = open to all."""

    method: str
    answer: Callable[[WSGIEnvironment], Reply]
    role: Role | None


class Web:
    """`routes` by path; a path that ends in a slash takes everything below it."""

    def __init__(
        self, routes: Mapping[str, Route], *, keys: Keys | None, loopback_only: bool
    ) -> None:
        self._routes = routes
        self._keys = keys
        self._loopback_only = loopback_only

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            reply = self._answer(environ)
        except Refused as refused:
            document = {"error": refused.message, **refused.extra}
            reply = json_reply(document, refused.status, refused.headers)
        except Exception:  # the last resort: a bug is an answer too, and the log has the rest
            log.exception("request failed path=%s", quoted(environ.get("PATH_INFO")))
            reply = json_reply({"error": "internal error"}, "500 Internal Server Error")
        headers = {
            "Content-Type": reply.content_type,
            "Content-Length": str(len(reply.body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Request-Id": request_id(environ.get("HTTP_X_REQUEST_ID", "")),
            **reply.headers,
        }
        start_response(reply.status, list(headers.items()))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]

    def _answer(self, environ: WSGIEnvironment) -> Reply:
        self._check_host(environ)
        route = self._route(environ["PATH_INFO"])
        method = environ["REQUEST_METHOD"]
        if method != route.method and (method, route.method) != ("HEAD", "GET"):
            allow = "GET, HEAD" if route.method == "GET" else route.method
            raise MethodNotAllowed(f"{method[:20]} is not allowed here", headers={"Allow": allow})
        if route.method == "POST":
            refuse_browsers(environ)
        if self._keys is not None and route.role is not None:
            header = environ.get("HTTP_AUTHORIZATION", "")
            self._keys.require(route.role, header, environ.get("REMOTE_ADDR", ""))
        return route.answer(environ)

    def _check_host(self, environ: WSGIEnvironment) -> None:
        """A page elsewhere can make its own name point to 127.0.0.1, but then Host tells it."""
        host = environ.get("HTTP_HOST")
        if host is None or not self._loopback_only:
            return
        if not is_loopback(host_of(host)):
            raise NotAllowed("this address answers to loopback names in Host only")

    def _route(self, path: str) -> Route:
        folder = path[: path.rfind("/") + 1]
        route = self._routes.get(path) or (self._routes.get(folder) if path != folder else None)
        if route is None or path == "/":
            known = ", ".join(sorted(self._routes))
            raise NotFound(f"nothing is here; there are {known}")
        return route


def refuse_browsers(environ: WSGIEnvironment) -> None:
    """No page may lock the node, for none is ours, and Host does not tell: where a page's own name
    was made to point here, it agrees with Origin. Sec-Fetch-Mode alone is Node's fetch, not a page.

    Raises: NotAllowed.
    """
    if "HTTP_ORIGIN" in environ or "HTTP_SEC_FETCH_SITE" in environ:
        raise NotAllowed("a page in a browser may not do this")


def read_body(environ: WSGIEnvironment) -> bytes:
    """The whole body; the server saw to it that Content-Length is a number, and not large.

    Raises: TooLarge; BadRequest where less came than was announced.
    """
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > LARGEST_BODY:
        environ["wsgi.input"].read(length)
        raise TooLarge(f"the body may have {LARGEST_BODY} bytes")
    body: bytes = environ["wsgi.input"].read(length)
    if len(body) != length:
        raise BadRequest("the body ended early")
    return body


def json_reply(
    document: object, status: str = "200 OK", headers: Mapping[str, str] | None = None
) -> Reply:
    body = json.dumps(document).encode() + b"\n"
    return Reply("application/json", body, status, dict(headers or {}))


def request_id(given: str) -> str:
    """The caller's where it is a sane token, else a new one."""
    return given if SANE_ID.fullmatch(given) else secrets.token_hex(8)
