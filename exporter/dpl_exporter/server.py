"""cheroot, made strict.

cheroot answers **twice** to a request with both Content-Length and Transfer-Encoding, and to one
with two Content-Lengths: whoever stands before it may take the second answer for another's. It
takes `Content-Length: -5`, reads a body of any length into memory where nobody asked for it, lets
one client dribble a request for ever, and shakes hands for TLS on the thread that accepts. Here
such requests are refused and the connection is closed; how they are gathered is in arrivals.py.
"""

import json
import logging
import secrets
import socket
import ssl
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cheroot import wsgi
from cheroot.makefile import StreamReader, StreamWriter
from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest
from cheroot.ssl import Adapter

from dpl_exporter.addresses import Address
from dpl_exporter.arrivals import LARGEST_DRAIN, LARGEST_HEAD, WRITE_SECONDS, Arrivals, Inbox
from dpl_exporter.errors import SettingsError
from dpl_exporter.keys import stamp
from dpl_exporter.logs import quoted
from dpl_exporter.web import Web

THREADS = 16

log = logging.getLogger(__name__)


class StrictHeaders(HeaderReader):
    """ValueError becomes 400 and a closed connection."""

    def __call__(self, rfile: Any, hdict: Any = None) -> Any:
        lines = _Lines(rfile)
        headers = super().__call__(lines, hdict)
        for name in (b"content-length", b"transfer-encoding", b"host"):
            if lines.names.count(name) > 1:
                raise ValueError(f"two {name.decode()} headers")
        if b"content-length" in lines.names and b"transfer-encoding" in lines.names:
            raise ValueError("both Content-Length and Transfer-Encoding")
        headers.pop(b"Expect", None)  # arrivals.py has answered it
        length = headers.get(b"Content-Length", b"0")
        if not length.isdigit() or len(length) > 15:
            raise ValueError("Content-Length is not a number")
        return headers


class _Lines:
    """Header lines on their way to cheroot; `names` in lower case, in order."""

    def __init__(self, rfile: Any) -> None:
        self._rfile = rfile
        self.names: list[bytes] = []

    def readline(self) -> bytes:
        line: bytes = self._rfile.readline()
        name, colon, _ = line.partition(b":")
        if line[:1] in (b" ", b"\t") or (colon and name != name.strip()):
            raise ValueError("a header line begins with, or its name is followed by, a blank")
        if colon:
            self.names.append(name.lower())
        return line


class Request(HTTPRequest):
    header_reader = StrictHeaders()

    def read_request_headers(self) -> bool:
        if not super().read_request_headers():  # type: ignore[no-untyped-call] # cheroot's stubs
            return False
        if b"Transfer-Encoding" in self.inheaders:
            self.simple_response("411 Length Required", "send the body with Content-Length")
            return False
        if self.response_protocol == "HTTP/1.1" and not self.inheaders.get(b"Host"):
            self.simple_response("400 Bad Request", "the Host header is missing")
            return False
        return True

    def simple_response(self, status: str, msg: str | bytes = "") -> None:
        """What cheroot itself refuses. It always closes the connection after this."""
        text = msg if isinstance(msg, str) else msg.decode("latin-1")
        body = json.dumps({"error": text or status.partition(" ")[2]}).encode() + b"\n"
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n"
            f"X-Request-Id: {secrets.token_hex(8)}\r\n\r\n"
        )
        self.close_connection = True
        try:
            self.conn.wfile.write(head.encode("latin-1", "replace") + body)
        except OSError:
            return  # the client has left; there is nobody to tell


class Connection(HTTPConnection):
    RequestHandlerClass = Request

    def __init__(self, server: Any, sock: Any, makefile: Any) -> None:
        self.inbox = Inbox(sock, time.monotonic())
        super().__init__(server, self.inbox, makefile)

    def refuse(self, status: str) -> None:
        """Before any worker saw the request."""
        Request(self.server, self).simple_response(status)

    def close(self) -> None:
        self.server.connection_left(self)
        with suppress(OSError):  # the client was quicker
            super().close()


class Server(wsgi.Server):
    """`prepare()` binds and starts the threads, `serve()` runs until `stop()`."""

    ConnectionClass = Connection
    max_request_header_size = LARGEST_HEAD
    max_request_body_size = LARGEST_DRAIN
    keep_alive_conn_limit = 64
    expiration_interval = 0.2
    _connections: Any

    def __init__(self, address: Address, web: Web) -> None:
        super().__init__(
            (address.host, address.port),
            web,
            numthreads=THREADS,
            server_name="dpl-exporter",
            request_queue_size=128,
            timeout=int(WRITE_SECONDS),
            shutdown_timeout=1,
        )

    def prepare(self) -> None:
        super().prepare()
        self._connections._selector.close()  # cheroot's own way, which nobody has used yet
        self._connections = Arrivals(self)

    def connection_left(self, conn: Connection) -> None:
        self._connections.left(conn)

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Clients that leave or speak no TLS are no news; a bug is."""
        if traceback and not isinstance(sys.exc_info()[1], OSError):
            log.error(
                "server failed reason=%s",
                quoted(" ".join(msg.split())[:300]),
                exc_info=sys.exc_info(),
            )
        else:
            log.debug("server said reason=%s", quoted(" ".join(msg.split())[:300]))


class LazyTls(Adapter):
    """Shakes hands with the first reads, none of which waits (arrivals.py).

    Files that changed count from the next connection on; bad ones keep the pair that was, and say
    so once. All connections are accepted on one thread.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        """Raises: SettingsError."""
        super().__init__(str(cert), str(key))
        self._files = (cert, key)
        self._seen = self._stamps()
        self.context = read_pair(cert, key)

    def bind(self, sock: socket.socket) -> socket.socket:
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        self._reload()
        secret = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return secret, {}

    def _reload(self) -> None:
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            self.context = read_pair(*self._files)
        except SettingsError as error:
            log.error("certificate not taken, the old one stays reason=%s", quoted(error.message))
        else:
            log.info("certificate taken file=%s", quoted(self._files[0]))

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [stamp(file) for file in self._files]

    def get_environ(self) -> dict[str, str]:
        return {"HTTPS": "on", "wsgi.url_scheme": "https"}

    def makefile(self, sock: Any, mode: str = "r", bufsize: int = -1) -> Any:
        kind = StreamReader if "r" in mode else StreamWriter
        return kind(sock, mode, bufsize)


def read_pair(cert: Path, key: Path) -> ssl.SSLContext:
    """For a server. Raises: SettingsError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"--tls-cert {cert} and --tls-key {key} cannot be used: {error}"
        ) from None
    return context
