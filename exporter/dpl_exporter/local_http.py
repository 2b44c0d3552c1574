"""One GET (or a small POST) within a deadline that holds for the whole exchange.

http.client's own time-out counts from byte to byte: a server that sends one byte a second would
hold a collector for ever. Here every wait on the socket gets what is left. The system's look-up of
a name takes no time-out, so it has a thread of its own, which the caller leaves behind when time is
up; the resolver ends it (within half a minute, as systems are set up).
"""

import http.client
import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from dpl_exporter.addresses import is_loopback
from dpl_exporter.errors import LlmBadAnswer, LlmUnreachable

MEBIBYTE = 2**20
LARGEST_DOCUMENT = MEBIBYTE
"""2,000 models of Ollama have 700 KB. As Python's objects JSON has up to thirty times its size."""
LARGEST_PAGE = 8 * MEBIBYTE
"""Of metrics, which nobody reads as a whole."""

Place = tuple[int, tuple[Any, ...]]
"""Address family, and the address as `socket.connect` takes it."""
LookUp = Callable[[str, int], Sequence[Place]]
"""(host, port) -> where it may be reached. Raises: OSError, UnicodeError."""


def look_up(host: str, port: int) -> Sequence[Place]:
    """Source: getaddrinfo(3)."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


@dataclass(frozen=True, slots=True)
class Answer:
    """Any status; the body is whole."""

    status: int
    content_type: str
    body: bytes

    def document(self) -> object:
        """The body as JSON. Raises: LlmBadAnswer, also for any status but 200."""
        if self.status != 200:
            raise LlmBadAnswer(f"status {self.status}")
        try:
            return cast(object, json.loads(self.body))
        except (ValueError, RecursionError):
            raise LlmBadAnswer("an answer that is not JSON") from None

    def mapping(self) -> Mapping[str, object]:
        """The body as a JSON object without an error in it (LM Studio says 200 to any path).

        Raises: LlmBadAnswer.
        """
        document = self.document()
        if not isinstance(document, dict) or "error" in document:
            raise LlmBadAnswer("an answer that is not the expected object")
        return document


class Calls:
    """Calls to one base URL that all share one deadline."""

    def __init__(
        self,
        base: str,
        seconds: float,
        look_up: LookUp = look_up,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` is needed for https://."""
        self._base = base
        self._look_up = look_up
        self._tls = tls
        self._deadline = time.monotonic() + seconds

    def get(self, path: str) -> Answer:
        """For JSON. Raises: LlmUnreachable, LlmBadAnswer (no HTTP, or more than 1 MiB)."""
        return self._exchange("GET", path, None, LARGEST_DOCUMENT)

    def page(self, path: str) -> Answer:
        """For metrics. Raises: LlmUnreachable, LlmBadAnswer (no HTTP, or more than 8 MiB)."""
        return self._exchange("GET", path, None, LARGEST_PAGE)

    def told(self, path: str) -> Mapping[str, object]:
        """A JSON object; empty where the server does not tell (a key is needed, an old version).

        Raises: LlmUnreachable.
        """
        try:
            return self.get(path).mapping()
        except LlmBadAnswer:
            return {}

    def post(self, path: str, document: object) -> Answer:
        """Raises: LlmUnreachable, LlmBadAnswer."""
        body = json.dumps(document).encode()
        return self._exchange("POST", path, body, LARGEST_DOCUMENT)

    def _exchange(self, method: str, path: str, body: bytes | None, most: int) -> Answer:
        """Redirects are not followed, proxies not used. Raises: LlmUnreachable, LlmBadAnswer."""
        parts = urlsplit(self._base + path)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        request = _request(method, parts, body)
        try:
            places = _places(host, port, self._look_up, self._deadline)
            with _connected(places, self._deadline) as plain:
                if self._tls is None:
                    return _talk(plain, method, request, self._deadline, most)
                with self._tls.wrap_socket(plain, server_hostname=host) as secret:
                    return _talk(secret, method, request, self._deadline, most)
        except http.client.HTTPException as error:
            raise LlmBadAnswer(f"an answer that is not HTTP ({type(error).__name__})") from None
        except TimeoutError:
            raise LlmUnreachable("no answer in time") from None
        except (OSError, UnicodeError) as error:
            raise LlmUnreachable(f"no connection ({type(error).__name__})") from None


def tls_for(url: str) -> ssl.SSLContext | None:
    """With the system's authorities, to be kept: they take 20 ms to read. None for http://."""
    return ssl.create_default_context() if urlsplit(url).scheme == "https" else None


def _request(method: str, parts: SplitResult, body: bytes | None) -> bytes:
    lines = [f"{method} {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", "Accept: */*"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("ascii", "replace")
    return head + (body or b"")


def _places(host: str, port: int, look_up: LookUp, deadline: float) -> Sequence[Place]:
    """Raises: TimeoutError; what `look_up` raises; OSError where there is no thread to be had."""
    if is_loopback(host):
        return look_up(host, port)  # asks nobody
    found: list[Sequence[Place]] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            found.append(look_up(host, port))
        except (OSError, UnicodeError) as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="look-up", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(str(error)) from None
    thread.join(_left(deadline))
    if failures:
        raise failures[0]
    if not found:
        raise TimeoutError
    return found[0]


def _connected(places: Sequence[Place], deadline: float) -> socket.socket:
    """To the first that takes us. Raises: OSError."""
    failure = OSError("the name has no address")
    for family, address in places:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(_left(deadline))
            sock.connect(address)
            sock.settimeout(_left(deadline))
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _talk(sock: socket.socket, method: str, request: bytes, deadline: float, most: int) -> Answer:
    sock.sendall(request)
    source = cast(socket.socket, _Source(sock, deadline))
    with http.client.HTTPResponse(source, method=method) as response:
        response.begin()
        body = response.read(most + 1)
        if len(body) > most:
            raise LlmBadAnswer(f"an answer larger than {most // MEBIBYTE} MiB")
        if response.length:
            raise LlmBadAnswer("an answer that was cut short")
        return Answer(response.status, response.headers.get("Content-Type", ""), body)


class _Source:
    """What http.client needs of a socket."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._raw = _Raw(sock, deadline)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._raw)


class _Raw(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
