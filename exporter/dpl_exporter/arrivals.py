"""Requests as they arrive: a worker gets a connection once the whole request is here.

cheroot gives each new connection to a worker, which then waits for its bytes: as many silent
clients as there are workers, and nobody's lease is renewed. Here the thread that accepts gathers
what comes, of all connections at once, and no worker ever waits for a client's bytes.
"""

import re
import selectors
import ssl
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from cheroot.connections import ConnectionManager

LARGEST_HEAD = 16 * 1024
LARGEST_DRAIN = 2**18
"""A body up to here is read to its end, so that the client reads why it was refused; of a larger
one nothing is read: the connection is closed."""
HEAD_SECONDS = 2.0
"""From a request's first byte to the end of its head."""
REQUEST_SECONDS = 10.0
"""From its first byte to its last. As long a connection may be silent between requests."""
WRITE_SECONDS = 2.0
"""A worker waits so long for a client that takes nothing of its answer."""
MOST_CONNECTIONS = 160
"""Below the 256 files that macOS lets a process open."""
MOST_OF_ONE_PEER = 96
PIECE = 65536

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", re.I)
EXPECTS = re.compile(
    rb"^[^\r\n]* HTTP/1\.1\r\n(?:.*\r\n)?expect:[ \t]*100-continue[ \t]*\r\n", re.I | re.S
)


class Inbox:
    """A socket whose reads end where the request ends; what came after it waits for its turn.

    Reads never block; writes do, up to WRITE_SECONDS, once `gather` said that a request is whole.
    """

    def __init__(self, sock: Any, now: float) -> None:
        self._sock = sock
        self._came = bytearray()
        self._scanned = 0
        self._end: int | None = None
        self._request = b""
        self._silent_since = now
        self._begun: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv_into(self, buffer: Any, *_rest: Any) -> int:
        """For the worker: of the request that `gather` found whole, and no byte more."""
        piece, self._request = self._request[: len(buffer)], self._request[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def rest(self, now: float) -> None:
        """The request was answered; the next may begin."""
        self._silent_since = now

    def gather(self, now: float) -> bool:
        """Take what has come. True: a request is whole, or will not become more than it is.

        Raises: OSError where the client has left.
        """
        self._sock.settimeout(0)
        ended = False
        while not (ended or self._is_whole()):
            try:
                piece = self._sock.recv(PIECE)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            self._came += piece
            ended = not piece
        if ended and not self._came:
            raise ConnectionResetError("the client has left")
        if self._came and self._begun is None:
            self._begun = now
        if not (ended or self._is_whole()):
            return False
        self._hand_over()
        return True

    def is_late(self, now: float) -> bool:
        if self._begun is None:
            return now - self._silent_since > REQUEST_SECONDS
        return now - self._begun > (HEAD_SECONDS if self._end is None else REQUEST_SECONDS)

    def has_begun(self) -> bool:
        """Somebody waits for an answer, so a 408 is worth sending."""
        return self._begun is not None

    def _is_whole(self) -> bool:
        if self._end is None:
            at = self._came.find(b"\n\r\n", self._scanned)
            self._scanned = max(0, len(self._came) - 2)
            if at < 0:
                return len(self._came) > LARGEST_HEAD  # the worker refuses it
            self._end = at + 3 + self._body_length(bytes(self._came[: at + 3]))
        return len(self._came) >= self._end

    def _body_length(self, head: bytes) -> int:
        """0 also for what the worker refuses by its head alone (server.py)."""
        length = LENGTH.search(head)
        if length is None or int(length[1]) > LARGEST_DRAIN:
            return 0
        if EXPECTS.search(head):
            with suppress(OSError):  # the client sends its body without, after a while
                self._sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return int(length[1])

    def _hand_over(self) -> None:
        end = len(self._came) if self._end is None else self._end
        self._request = bytes(self._came[:end])
        del self._came[:end]
        self._scanned, self._end, self._begun = 0, None, None
        self._sock.settimeout(WRITE_SECONDS)


class Arrivals(ConnectionManager):
    """All open connections: those that wait are here, the others with a worker.

    At the limit the connection that has waited longest makes room: of the new one's peer where
    that peer has too many, else of the peer that has most. So a crowd of silent connections
    costs itself its places, and nobody else.
    """

    _selector: Any
    _stop_requested: bool

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self._peers: dict[Any, str] = {}
        self._waiting: dict[Any, None] = {}
        self._lock = threading.Lock()

    def put(self, conn: Any) -> None:
        """From a worker, after an answer; the client may already have sent the next request."""
        if conn.rfile.has_data():  # cheroot saw another end of the request than we did
            conn.close()
            return
        conn.inbox.rest(time.monotonic())
        self._take(conn)

    def left(self, conn: Any) -> None:
        """Whoever closes a connection says so here."""
        with self._lock:
            self._peers.pop(conn, None)

    def _run(self, expiration_interval: float) -> None:
        swept = time.monotonic()
        while not self._stop_requested:
            ready = [conn for _, conn in self._selector.select(expiration_interval)]
            for conn in ready:
                if conn is not self.server:
                    self._forget(conn)
                    self._take(conn)
            if self.server in ready:  # last: it may close what was ready
                self._accept()
            now = time.monotonic()
            if now - swept > expiration_interval:
                swept = now
                self._sweep(now)

    def _accept(self) -> None:
        try:
            conn = self._from_server_socket(self.server.socket)  # type: ignore[attr-defined]
        except OSError:  # no file left to open, perhaps
            self._make_room(None)
            return
        if conn is None:
            return
        peer = str(conn.remote_addr)
        with self._lock:
            counts = Counter(self._peers.values())
            self._peers[conn] = peer
        if counts[peer] >= MOST_OF_ONE_PEER or counts.total() >= MOST_CONNECTIONS:
            full = counts[peer] >= MOST_OF_ONE_PEER
            if not self._make_room(peer if full else counts.most_common(1)[0][0]):
                conn.close()
                return
        self._take(conn)

    def _make_room(self, peer: str | None) -> bool:
        """Close the one of `peer` (None = anybody) that has waited longest; False: none waits."""
        with self._lock:
            oldest = next(
                (one for one in self._waiting if peer in (None, self._peers.get(one))), None
            )
        if oldest is None:
            return False
        self._forget(oldest)
        oldest.close()
        return True

    def _take(self, conn: Any) -> None:
        """Give it to a worker if its request is whole, else wait for more."""
        try:
            if conn.inbox.gather(time.monotonic()):
                self.server.requests.put(conn)
                return
            with self._lock:
                self._waiting[conn] = None
                self._selector.register(conn.inbox.fileno(), selectors.EVENT_READ, conn)
        except OSError:
            conn.close()

    def _forget(self, conn: Any) -> None:
        with self._lock:
            del self._waiting[conn]
            self._selector.unregister(conn.inbox.fileno())

    def _sweep(self, now: float) -> None:
        with self._lock:
            late = [conn for conn in self._waiting if conn.inbox.is_late(now)]
        for conn in late:
            self._forget(conn)
            if conn.inbox.has_begun():
                conn.refuse("408 Request Timeout")
            conn.close()
