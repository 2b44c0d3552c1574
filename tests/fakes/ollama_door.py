"""What a fake Ollama does before a page: hosts, origins, paths, methods; heads and framing."""

import ipaddress
from abc import abstractmethod
from collections.abc import Sequence
from email.utils import formatdate
from typing import Protocol

from tests.fakes.faults import Faults, Seen
from tests.fakes.link import NDJSON, SSE, Cut, Framing, Link, Server
from tests.fakes.ollama_checks import ServerDies
from tests.fakes.ollama_go import Refusal, written
from tests.fakes.ollama_openai import refused
from tests.fakes.ollama_pages import Pages
from tests.fakes.ollama_voices import Said

GET = ("GET",)
BOTH = ("HEAD", "GET")
POST = ("POST",)
ROUTES = {
    "/": BOTH,
    "/api/version": BOTH,
    "/api/tags": BOTH,
    "/api/status": GET,
    "/api/ps": GET,
    "/v1/models": GET,
    "/api/delete": ("DELETE",),
    **dict.fromkeys(("/api/show", "/api/copy", "/api/pull", "/api/create"), POST),
    **dict.fromkeys(("/api/chat", "/api/generate", "/api/embed", "/api/embeddings"), POST),
    **dict.fromkeys(("/v1/chat/completions", "/v1/completions", "/v1/embeddings"), POST),
}
"""Route -> its methods, in the order in which Allow tells them."""
WHOLE = 2048
"""A body of more bytes than this goes out chunked."""
ALLOWED = (
    "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,"
    "X-Stainless-Async,X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,"
    "X-Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,X-Stainless-Poll-Helper,"
    "X-Stainless-Retry-Count,X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout"
)


class OllamaNode(Pages, Server, Protocol):
    """The server, as its connections know it."""

    host: str
    api_key: str
    tokens: list[str]
    thinking: list[str]
    step_seconds: float
    without_chat: bool

    def next_number(self) -> int: ...
    async def stop(self) -> None: ...


class Door(Link[OllamaNode]):
    """A connection that turns away what a real Ollama turns away."""

    @abstractmethod
    async def page(self, seen: Seen, faults: Faults) -> None:
        """Answer a request that may pass. Raises: Refusal, ServerDies."""

    def media(self, seen: Seen) -> str:
        return SSE if seen.route.startswith("/v1/") else NDJSON

    def always(self) -> Sequence[str]:
        return (f"Date: {formatdate(usegmt=True)}",)

    def complaint(self) -> bytes:
        return b'{"error":"told by the fake"}'

    async def respond(self, seen: Seen, faults: Faults) -> None:
        if await self._turned_away(seen, faults):
            return
        try:
            await self.page(seen, faults)
        except Refusal as refusal:
            await self._refuse(seen, refusal, faults)
        except ServerDies:
            await self.node.stop()
            raise Cut from None

    async def _refuse(self, seen: Seen, refusal: Refusal, faults: Faults) -> None:
        openai = seen.route.startswith("/v1/")
        said = refused(refusal) if openai else Said(written({"error": refusal.message}).encode())
        if refusal.late:
            said = Said(said.body, "application/json")
        await self.say(seen, refusal.status, said, faults, chunked=refusal.late)

    async def say(
        self,
        seen: Seen,
        status: int,
        said: Said,
        faults: Faults,
        *,
        chunked: bool = False,
        extra: Sequence[str] = (),
    ) -> None:
        framing: Framing = "chunked" if chunked or len(said.body) > WHOLE else "length"
        if seen.version == "1.0":
            framing = "length"
        if origin := seen.headers.get("origin"):
            extra = [*extra, f"Access-Control-Allow-Origin: {origin}", "Vary: Origin"]
        await self.plain(
            seen, status, said.body, faults, kind=said.kind, extra=extra, framing=framing
        )

    async def _turned_away(self, seen: Seen, faults: Faults) -> bool:
        """Answers what never reaches a page: a foreign host or origin, an unknown path."""
        methods = self._methods(seen.route)
        allow = [f"Allow: {', '.join(methods)}"] if methods and seen.method not in methods else []
        if not self._known_host(seen) or not known_origin(seen.headers.get("origin")):
            await self.plain(seen, 403, b"", faults, kind="", extra=allow)
        elif seen.method == "OPTIONS" and "origin" in seen.headers:
            await self._preflight(seen, allow, faults)
        elif not methods and (place := self._moved(seen.route)):
            await self._redirect(seen, place, faults)
        elif not methods:
            await self.plain(seen, 404, b"404 page not found", faults, kind="text/plain")
        elif allow:
            said = Said(b"405 method not allowed", "text/plain")
            await self.say(seen, 405, said, faults, extra=allow)
        else:
            return False
        return True

    def _methods(self, route: str) -> Sequence[str]:
        if route == "/api/chat" and self.node.without_chat:
            return ()
        rest = route.removeprefix("/v1/models/")
        return GET if rest not in ("", route) and "/" not in rest else ROUTES.get(route, ())

    def _moved(self, route: str) -> str:
        place = "/" + route.strip("/").replace("//", "/")
        return place if place != route and self._methods(place) else ""

    async def _redirect(self, seen: Seen, place: str, faults: Faults) -> None:
        status = 301 if seen.method == "GET" and not seen.route.startswith("//") else 307
        phrase = "Moved Permanently" if status == 301 else "Temporary Redirect"
        body = f'<a href="{place}">{phrase}</a>.\n\n'.encode() if seen.method == "GET" else b""
        kind = "text/html; charset=utf-8" if body else ""
        await self.plain(seen, status, body, faults, kind=kind, extra=[f"Location: {place}"])

    async def _preflight(self, seen: Seen, allow: Sequence[str], faults: Faults) -> None:
        lines = [
            f"Access-Control-Allow-Headers: {ALLOWED}",
            "Access-Control-Allow-Methods: GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS",
            f"Access-Control-Allow-Origin: {seen.headers['origin']}",
            "Access-Control-Max-Age: 43200",
            *allow,
            "Vary: Origin",
        ]
        await self.write(self.head(seen, 204, lines), faults)

    def _known_host(self, seen: Seen) -> bool:
        """Bound on loopback it knows addresses and local names alone."""
        name = seen.headers.get("host", "").rpartition(":")[0] or seen.headers.get("host", "")
        if name in ("", "localhost") or name.endswith((".localhost", ".local", ".internal")):
            return True
        return self.node.host not in ("127.0.0.1", "::1", "localhost") or is_address(name)


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def known_origin(origin: str | None) -> bool:
    """Pages of this machine, and of applications, may call from a browser."""
    if not origin:
        return True
    scheme, _, rest = origin.partition("://")
    name = rest.rpartition(":")[0] or rest
    return scheme in ("app", "file", "tauri") or name in ("localhost", "127.0.0.1", "0.0.0.0")
