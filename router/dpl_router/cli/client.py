"""How the client verbs speak to a router: the standard library alone, since verbs must be quick.

Raises everywhere: CallFailed, with the server's own words and the next command.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from dpl_router.errors import ConfigError, DplError
from dpl_router.settings import parse_key

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

HERE = "http://127.0.0.1:8000"
CONNECT = 5.0
"""Seconds a call may take where nothing else is said."""

HINTS = ("; GET /", "; send it as ", "; /schema lists ")
"""How the router's own hints begin, for programs; people at a shell are told a command."""

KEY_UNKNOWN = ("/lock answered 401", "/lock answered 403")
KEY_REMEDY = (
    "its exporter does not know the router's key: copy the keys file there, or set exporter_key"
)

Verb = TypeVar("Verb", bound=Callable[..., Any])


class CallFailed(DplError):
    """The router refused, or nothing answered."""


class NotNow(CallFailed):
    """Nothing answered, or only that it cannot now: the same call may do later."""


def router_option(verb: Verb) -> Verb:
    return click.option(
        "--url", envvar="DPL_URL", default=HERE, show_default=True, help="The router (DPL_URL)."
    )(verb)


def get_json(base: str, path: str, seconds: float = CONNECT) -> Any:
    """`seconds` of silence are allowed."""
    from http.client import HTTPException

    connection = connect(base, seconds)
    try:
        answer = ask(connection, base, "GET", path)
        return decode(answer.read(), base)
    except (OSError, HTTPException) as error:
        raise unreachable(base, error) from error
    finally:
        connection.close()


def post_json(base: str, path: str, wish: Mapping[str, object], seconds: float) -> Any:
    """`seconds` of silence are allowed."""
    from http.client import HTTPException

    connection = connect(base, seconds)
    try:
        answer = ask(connection, base, "POST", path, json.dumps(wish).encode())
        return decode(answer.read(), base)
    except (OSError, HTTPException) as error:
        raise unreachable(base, error) from error
    finally:
        connection.close()


def connect(base: str, seconds: float) -> HTTPConnection:
    """Not yet opened; `seconds` bounds each wait on the socket."""
    from http.client import HTTPConnection, HTTPSConnection
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(base)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"--url {base!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"--url {base!r} is no address; write {HERE}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        whole = f"{parts.scheme}://{parts.netloc}"
        raise ConfigError(f"--url {base!r} is more than an address; write {whole}")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname, port, timeout=seconds)


def ask(
    connection: HTTPConnection, base: str, method: str, path: str, body: bytes | None = None
) -> HTTPResponse:
    """The answer's head has come and is a success; its body has not been read."""
    from http.client import HTTPException

    try:
        connection.request(method, path, body, headers(body))
        answer = connection.getresponse()
    except (OSError, HTTPException) as error:
        raise unreachable(base, error) from error
    if answer.status >= 400:
        raise refused(answer, base, method, path)
    return answer


def headers(body: bytes | None) -> Mapping[str, str]:
    import os

    said = {"accept": "application/json, text/event-stream"}
    if body is not None:
        said["content-type"] = "application/json"
    if key := os.environ.get("DPL_API_KEY"):
        said["authorization"] = f"Bearer {parse_key(key, 'DPL_API_KEY')}"
    return said


def unreachable(base: str, error: Exception) -> NotNow:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return NotNow(
        f"no router answers at {base} ({reason}); start one with `dpl up`, or name it with --url"
    )


def refused(answer: HTTPResponse, base: str, method: str, path: str) -> CallFailed:
    """One hint alone: ours, since it is a command, or the names that the router found near."""
    from http.client import HTTPException

    try:
        body = answer.read(65536)
    except (OSError, HTTPException):
        body = b""  # the status says enough
    said = message_of(body) or f"{answer.status} {printable(answer.reason)}"
    said = said.rstrip(".")
    for hint in HINTS:
        said = said.partition(hint)[0]
    place = f"({base}, status {answer.status})"
    kind = NotNow if answer.status >= 500 else CallFailed
    if "; did you mean " in said:
        return kind(f"{said} {place}")
    return kind(f"{said} {place}; {advice(answer, said, method, path)}")


def advice(answer: HTTPResponse, said: str, method: str, path: str) -> str:
    """The next command. `said`: the router's words."""
    if answer.status in (401, 403):
        role = role_for(said, method, path)
        make = f"`dpl key new NAME --role {role} --keys-file FILE`"
        return f"set DPL_API_KEY to a key that may do this ({make})"
    if answer.status == 404:
        what = "nodes" if said.startswith("there is no node") else "models"
        return f"`dpl get {what}` lists what there is"
    if answer.status == 409 and path.endswith("/lock"):
        return "`dpl get leases` shows who holds what"
    if said.endswith(KEY_UNKNOWN):
        return KEY_REMEDY
    if wait := answer.getheader("retry-after"):
        return f"try again in {wait} s"
    if path.startswith("/api/prometheus/"):
        return of_prometheus(answer.status, said)
    return "`dpl get nodes` shows the nodes"


def of_prometheus(status: int, said: str) -> str:
    if status in (400, 422):
        return "docs/promql.md has examples"
    if said.startswith("no Prometheus is configured"):
        return "`dpl up` starts one beside the router"
    return "`dpl stack start prometheus` starts it again"


def role_for(said: str, method: str, path: str) -> str:
    """As the router names it; where it knew no key at all, what such a call needs."""
    import re

    if named := re.search(r"key of role (\w+)", said):
        return named[1]
    return "operator" if method == "POST" and path.startswith("/api/") else "user"


def message_of(body: bytes) -> str | None:
    """The words of any of our envelopes, without control characters; None where there are none."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    said = document.get("error") or document.get("detail")
    if isinstance(said, dict):
        said = said.get("message")
    return printable(said) if isinstance(said, str) else None


def decode(body: bytes, base: str) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise not_a_router(base) from error


def not_a_router(base: str) -> CallFailed:
    return CallFailed(f"{base} did not answer as a DPL router does; is --url right?")


def events(answer: HTTPResponse, base: str) -> Iterator[str]:
    """The `data:` of each server-sent event, `[DONE]` included; ends where the answer ends."""
    from http.client import HTTPException

    try:
        for line in answer:
            if line.startswith(b"data:"):
                yield line[5:].strip().decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise CallFailed(f"the answer broke off ({error}); `dpl get nodes` shows why") from error


def printable(text: str) -> str:
    """A node's words may hold escape sequences; a terminal must never act on them."""
    return "".join(sign for sign in text if sign.isprintable() or sign in "\n\t")
