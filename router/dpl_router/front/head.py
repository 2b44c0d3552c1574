"""A request's head: what llhttp has let through and we do not serve, and the rest as ASGI has it.

llhttp refuses most of what two servers could read in two ways: both lengths, two lengths, folded
lines, bare CR or LF, NUL (a test holds it to that, since it also has lenient ways).
"""

from typing import Any
from urllib.parse import unquote

from httptools import HttpRequestParser

from dpl_router.front.limits import Limits

Header = tuple[bytes, bytes]

VERSIONS = {"version": "3.0", "spec_version": "2.4"}


class Refused(Exception):
    """This request is not served; `status` says why, and the connection ends with it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def read_head(
    parser: HttpRequestParser,
    url: bytes,
    headers: list[Header],
    table: dict[bytes, bytes],
    limits: Limits,
) -> tuple[dict[str, Any], bool]:
    """The ASGI scope, less what the connection knows, and whether the client waits for a 100.

    `table`: the headers by name; it lies in the scope's state as well. Raises: Refused.
    """
    version = parser.get_http_version()
    if len(table) != len(headers) and sum(name == b"host" for name, _ in headers) > 1:
        raise Refused(400)
    if len(headers) > limits.headers:
        raise Refused(431)
    if version == "1.1":
        if b"host" not in table:
            raise Refused(400)
    elif version != "1.0":
        raise Refused(505)
    if b"transfer-encoding" in table:
        _chunked(version, table[b"transfer-encoding"])
    method = parser.get_method().decode("ascii")
    if url[:1] != b"/":
        url, headers = _absolute(url, headers)
        table = dict(headers)
    path, _, query = url.partition(b"?")
    text = path.decode("latin-1")
    scope = {
        "type": "http",
        "asgi": VERSIONS,
        "http_version": version,
        "method": method,
        "scheme": "http",
        "path": unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "state": {"headers": table},
    }
    waits = b"expect" in table and version == "1.1"
    return scope, waits and table[b"expect"].lower() == b"100-continue"


def _chunked(version: str, coding: bytes) -> None:
    """HTTP/1.0 knows no chunks, and a coding below them would be ours to undo."""
    if version != "1.1":
        raise Refused(400)
    if coding.lower() != b"chunked":
        raise Refused(501)


def _absolute(url: bytes, headers: list[Header]) -> tuple[bytes, list[Header]]:
    """`http://host/path` names the host itself (RFC 9112, 3.2.2); nothing else is a path."""
    scheme, mark, rest = url.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        raise Refused(400)
    end = next((i for i, byte in enumerate(rest) if byte in b"/?#"), len(rest))
    host, path = rest[:end], rest[end:]
    if not host or b"@" in host:
        raise Refused(400)
    if path[:1] != b"/":
        path = b"/" + path
    return path, [(b"host", host), *((n, v) for n, v in headers if n != b"host")]


def without_wish(method: bytes, url: bytes, headers: list[Header]) -> bytes:
    """The same head, its wish for another protocol left out. Raises: Refused for a CONNECT."""
    if method == b"CONNECT":
        raise Refused(400)
    lines = [b"%b %b HTTP/1.1" % (method, url)]
    for name, value in headers:
        if name == b"connection" and b"close" in value.lower():
            lines.append(b"connection: close")
        elif name not in (b"connection", b"upgrade", b"http2-settings"):
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"
