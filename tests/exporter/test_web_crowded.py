"""Connections that say nothing, or not all: they cost nobody else a place."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from urllib.parse import urlsplit

import pytest

from tests.exporter.process import PATIENCE, Running, post, raw

HOST = b"Host: 127.0.0.1\r\n"
READY = b"GET /-/ready HTTP/1.1\r\n" + HOST + b"\r\n"
HALF_HEAD = b"GET /metrics HTTP/1.1\r\n" + HOST
HALF_BODY = b"POST /lock HTTP/1.1\r\n" + HOST + b'Content-Length: 33\r\n\r\n{"owner'
HALF_LARGE_BODY = b"POST /lock HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n{"
NO_BODY_YET = (
    b"POST /lock HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"
)
EXPECT_FIRST = (
    b"POST /lock HTTP/1.1\r\nExpect: 100-continue\r\n" + HOST + b"Content-Length: 9\r\n\r\n"
)
BEGUN = [b"", HALF_HEAD, HALF_BODY, HALF_LARGE_BODY, NO_BODY_YET, READY + HALF_HEAD]


@contextmanager
def connections(exporter: Running, count: int, begun: bytes) -> Iterator[list[socket.socket]]:
    address = urlsplit(exporter.url)
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            sock = socket.create_connection((address.hostname or "", address.port or 0), PATIENCE)
            found.append(stack.enter_context(sock))
            sock.sendall(begun)
        yield found


def serves(exporter: Running) -> bool:
    """A page, a lease and its end; a worker that waited for a client would take 2 s or 10."""
    began = monotonic()
    page = exporter.call("GET", "/metrics").status
    token = post(exporter, "/lock", {"owner": "r1", "ttl_seconds": 9}).json()["token"]
    ended = post(exporter, "/unlock", {"owner": "r1", "token": token}).status
    return (page, ended) == (200, 200) and monotonic() - began < 2.0


def test_40_silent_and_40_half_sent_heads_hold_up_nobody(exporter: Running) -> None:
    """16 such connections once ended the renewal of every lease for ten seconds."""
    with connections(exporter, 40, b""), connections(exporter, 40, HALF_HEAD):
        assert serves(exporter)


@pytest.mark.parametrize("begun", BEGUN, ids=range(len(BEGUN)))
def test_no_request_that_is_not_whole_has_a_worker(exporter: Running, begun: bytes) -> None:
    with connections(exporter, 60, begun):
        assert serves(exporter)


def test_500_connections_of_one_peer_close_their_own_oldest(exporter: Running) -> None:
    with connections(exporter, 500, b"") as crowd:
        served = serves(exporter)
        crowd[0].settimeout(5.0)  # less than a silent connection has anyhow
        try:
            oldest = crowd[0].recv(1)
        except ConnectionResetError:
            oldest = b""

    assert served
    assert oldest == b""
    assert serves(exporter)


def test_a_request_that_comes_in_single_bytes_is_answered(exporter: Running) -> None:
    body = b'{"owner": "r1", "ttl_seconds": 5}'
    request = b"POST /lock HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with connections(exporter, 1, b"") as (sock,):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request + READY:
            sock.sendall(bytes([byte]))
        answer = b""
        while not answer.endswith(b"ready\n"):
            piece = sock.recv(65536)
            assert piece, answer
            answer += piece

    assert answer.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("begun", [NO_BODY_YET, EXPECT_FIRST], ids=["last", "first"])
def test_a_client_that_waits_for_100_continue_gets_it_before_it_sends_its_body(
    exporter: Running, begun: bytes
) -> None:
    with connections(exporter, 1, begun) as (sock,):
        proceed = sock.recv(65536)
        sock.sendall(b"not json!")
        answer = sock.recv(65536)

    assert proceed == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_head_of_which_the_rest_does_not_come_is_408(exporter: Running) -> None:
    answer = raw(exporter, HALF_HEAD)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_drips_in_is_cut_off_as_a_whole(exporter: Running) -> None:
    """Each byte comes in time; all of them together do not."""
    with connections(exporter, 1, HALF_LARGE_BODY) as (sock,):
        cut = threading.Event()

        def drip() -> None:
            try:
                while not cut.wait(0.3):
                    sock.sendall(b"x")
            except OSError:
                cut.set()

        threading.Thread(target=drip, daemon=True).start()
        answer = sock.recv(65536)
        cut.set()

    assert answer.startswith(b"HTTP/1.1 408 ")
