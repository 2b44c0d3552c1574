"""Signing in: a browser shows its key once, and a cookie stands for it from then on."""

from typing import Any
from urllib.parse import parse_qs, quote

import structlog
from jinja2 import Environment
from litestar import Controller, MediaType, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.status_codes import HTTP_200_OK, HTTP_303_SEE_OTHER

from dpl_router.bodies import body_of
from dpl_router.errors import BadRequest, Overloaded
from dpl_router.security.browser import refuse_foreign_form
from dpl_router.security.guards import wrong_key
from dpl_router.security.keys import KeyRing, digest_of
from dpl_router.security.sessions import LASTS, Sessions, cookie_name, cookies

OPEN = {"open": True}
PRIVATE = {"cache-control": "no-store"}
LONGEST_FORM = 8192
HOME = "/"
IN_A_URL = "/?&=#%:@!$'()*+,;~-._"
"""Beside letters and digits; the rest may not stand in a header as it is."""

log = structlog.get_logger()


class Login:
    """`sessions` is what the guards look in."""

    def __init__(self, engine: Environment, sessions: Sessions) -> None:
        self._template = engine.get_template("login.html")
        self._sessions = sessions

    def page(self, next: str, problem: str = "", status: int = HTTP_200_OK) -> Response[str]:
        body = self._template.render(next=local(next), problem=problem)
        return Response(body, media_type=MediaType.HTML, status_code=status, headers=PRIVATE)

    def sign_in(self, request: Request[Any, Any, Any], key: str, next: str) -> Response[str]:
        ring: KeyRing | None = request.app.state["keyring"]
        if ring is None:
            return _to(HOME)
        digest = digest_of(key.strip())
        holder = ring.holder(digest)
        if holder is None:
            error = wrong_key(request.app.state, request.scope)
            response = self.page(next, error.message, error.status)
            if isinstance(error, Overloaded) and error.retry_after is not None:
                response.headers["retry-after"] = str(round(error.retry_after) or 1)
            return response
        log.info("signed in", key=holder.name, role=holder.role.word)
        response = _to(local(next))
        response.set_cookie(
            cookie_name(_host(request)),
            self._sessions.begin(digest),
            max_age=int(LASTS),
            httponly=True,
            samesite="strict",
            secure=_by_tls(request),
        )
        return response

    def sign_out(self, request: Request[Any, Any, Any]) -> Response[str]:
        host = _host(request)
        for token in cookies(request.headers.get("cookie", "").encode("latin-1"), host):
            self._sessions.end(token)
        response = _to("/login")
        response.delete_cookie(cookie_name(host))
        return response


class LoginController(Controller):
    @get("/login", opt=OPEN)
    async def form(
        self,
        request: Request[Any, Any, Any],
        login: NamedDependency[Login],
        next: FromQuery[str] = HOME,
    ) -> Response[str]:
        """Without keys there is nothing to sign in to."""
        if request.app.state["keyring"] is None:
            return _to(HOME)
        return login.page(next)

    @post("/login", opt=OPEN, request_max_body_size=LONGEST_FORM, status_code=HTTP_200_OK)
    async def sign_in(
        self, request: Request[Any, Any, Any], login: NamedDependency[Login]
    ) -> Response[str]:
        """Raises: NotAllowed for a form of another site, BadRequest, ClientGone."""
        refuse_foreign_form(dict(request.scope["headers"]))
        fields = _fields(await body_of(request))
        return login.sign_in(request, fields.get("key", ""), fields.get("next", HOME))

    @post("/logout", opt=OPEN, request_max_body_size=LONGEST_FORM, status_code=HTTP_200_OK)
    async def sign_out(
        self, request: Request[Any, Any, Any], login: NamedDependency[Login]
    ) -> Response[str]:
        """Raises: NotAllowed for a form of another site."""
        refuse_foreign_form(dict(request.scope["headers"]))
        return login.sign_out(request)


def local(path: str) -> str:
    """A path of ours: what a link says may lead to another site."""
    safe = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return path if safe and "\\" not in path else HOME


def _fields(body: bytes) -> dict[str, str]:
    """Raises: BadRequest."""
    try:
        told = parse_qs(body.decode(), max_num_fields=8, errors="surrogateescape")
    except ValueError as error:
        raise BadRequest("this is no form with a key") from error
    return {name: values[0] for name, values in told.items()}


def _by_tls(request: Request[Any, Any, Any]) -> bool:
    """Also at a proxy before us; a lie costs its teller the cookie."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))


def _host(request: Request[Any, Any, Any]) -> bytes:
    return request.headers.get("host", "").encode("latin-1")


def _to(path: str) -> Response[str]:
    headers = {**PRIVATE, "location": quote(path, safe=IN_A_URL)}
    return Response("", status_code=HTTP_303_SEE_OTHER, headers=headers)
