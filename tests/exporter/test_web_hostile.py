"""Hostile and broken bytes, over the wire, at a real process: one refusal, nothing locked."""

import json
import socket
import threading
import time
from urllib.parse import urlsplit

import psutil
import pytest

from tests.exporter.process import Running, error_of, post, raw

HOST = b"Host: 127.0.0.1\r\n"
PATIENCE = 20.0
MEBIBYTE = 2**20


BAD_LOCKS = [
    b"{",
    b"[]",
    b"null",
    b"5",
    b'"text"',
    b"\xff\xfe{}",
    b"\x00",
    b" ",
    b"[" * 30_000,
    b"{}",
    b'{"owner": "a"}',
    b'{"ttl_seconds": 5}',
    b'{"owner": "", "ttl_seconds": 5}',
    b'{"owner": 5, "ttl_seconds": 5}',
    b'{"owner": ["a"], "ttl_seconds": 5}',
    b'{"owner": "a\\u0000", "ttl_seconds": 5}',
    b'{"owner": "a\\nb", "ttl_seconds": 5}',
    b'{"owner": "\\ud800", "ttl_seconds": 5}',
    b'{"owner": "' + b"a" * 201 + b'", "ttl_seconds": 5}',
    b'{"owner": "a", "ttl_seconds": 0}',
    b'{"owner": "a", "ttl_seconds": -1}',
    b'{"owner": "a", "ttl_seconds": 300.001}',
    b'{"owner": "a", "ttl_seconds": "5"}',
    b'{"owner": "a", "ttl_seconds": true}',
    b'{"owner": "a", "ttl_seconds": NaN}',
    b'{"owner": "a", "ttl_seconds": Infinity}',
    b'{"owner": "a", "ttl_seconds": 1e999}',
    b'{"owner": "a", "ttl_seconds": ' + b"9" * 5000 + b"}",
    b'{"owner": "a", "ttl_seconds": 5, "slots": 0}',
    b'{"owner": "a", "ttl_seconds": 5, "slots": -1}',
    b'{"owner": "a", "ttl_seconds": 5, "slots": 1.5}',
    b'{"owner": "a", "ttl_seconds": 5, "slots": true}',
    b'{"owner": "a", "ttl_seconds": 5, "slots": "1"}',
    b'{"owner": "a", "ttl_seconds": 5, "exclusive": 1}',
    b'{"owner": "a", "ttl_seconds": 5, "exclusive": "no"}',
    b'{"owner": "a", "ttl_seconds": 5, "token": "1"}',
    b'{"owner": "a", "ttl_seconds": 5, "token": 1.5}',
    b'{"owner": "a", "ttl_seconds": 5, "token": true}',
    b'{"owner": "a", "ttl_seconds": 5, "priority": "high"}',
]


@pytest.mark.parametrize("body", BAD_LOCKS, ids=range(len(BAD_LOCKS)))
def test_a_bad_body_is_400_with_a_reason_and_locks_nothing(exporter: Running, body: bytes) -> None:
    answer = exporter.call("POST", "/lock", body)

    assert answer.status == 400
    assert error_of(answer)
    assert exporter.call("GET", "/status").json()["locked"] is False


@pytest.mark.parametrize(
    "body",
    [b"{", b"{}", b'{"owner": "r1"}', b'{"token": 5}', b'{"force": "yes"}', b'{"force": 1}'],
)
def test_a_bad_unlock_is_400_and_releases_nothing(exporter: Running, body: bytes) -> None:
    post(exporter, "/lock", {"owner": "r1", "ttl_seconds": 10})

    assert exporter.call("POST", "/unlock", body).status == 400
    assert exporter.call("GET", "/status").json()["locked"] is True


SMUGGLED = b"GET /-/ready HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /lock HTTP/1.1\r\n" + HOST


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (
            POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
            400,
        ),
        (
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
            400,
        ),
        (POST + b"Content-Length: 0\r\nContent-Length: 57\r\n\r\n" + SMUGGLED, 400),
        (POST + b"Content-Length: 0\r\ncontent-length: 0\r\n\r\n" + SMUGGLED, 400),
        (POST + b"Content-Length: -5\r\n\r\n" + SMUGGLED, 400),
        (POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED, 400),
        (POST + b"Content-Length: 0x0\r\n\r\n" + SMUGGLED, 400),
        (POST + b"Content-Length : 57\r\n\r\n" + SMUGGLED, 400),
        (POST + b"X: a\r\n Content-Length: 57\r\n\r\n" + SMUGGLED, 400),
        (POST + HOST + b"\r\n" + SMUGGLED, 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + SMUGGLED, 411),
        (POST + b"Transfer-Encoding: identity\r\n\r\n" + SMUGGLED, 501),
        (b"POST /lock HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 411),
        (b"GET /metrics HTTP/1.1\r\n\r\n" + SMUGGLED, 400),
        (b"GET http://evil.com/ HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED, 400),
        (b"GET /status HTTP/9.9\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 413),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_gets_one_refusal_and_a_closed_connection(
    exporter: Running, request_bytes: bytes, status: int
) -> None:
    """Whoever stands before us may take a second answer for somebody else's."""
    answer = raw(exporter, request_bytes)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert exporter.call("GET", "/status").json()["locked"] is False


def test_http_1_0_and_keep_alive_behave(exporter: Running) -> None:
    old = raw(exporter, b"GET /-/ready HTTP/1.0\r\n\r\n")
    last = b"GET /-/ready HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    twice = raw(exporter, SMUGGLED + last)

    assert old.endswith(b"\r\n\r\nready\n")
    assert twice.count(b"HTTP/1.1 200 OK") == 2


def test_expect_100_continue_behaves(exporter: Running) -> None:
    body = b'{"owner": "r1", "ttl_seconds": 5}'
    head = POST + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"

    answer = raw(exporter, head % len(body) + body)

    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_a_client_that_dribbles_is_cut_off_and_others_do_not_wait(exporter: Running) -> None:
    address = urlsplit(exporter.url)
    with socket.create_connection((address.hostname or "", address.port or 0), PATIENCE) as sock:
        cut = threading.Event()

        def dribble() -> None:
            try:
                for byte in b"GET /status HTTP/1.1\r\nX: " + b"a" * 200:
                    sock.sendall(bytes([byte]))
                    time.sleep(0.2)
            except OSError:
                cut.set()

        thread = threading.Thread(target=dribble, daemon=True)
        thread.start()
        others = [exporter.call("GET", "/-/ready").status for _ in range(5)]
        answer = sock.recv(65536)
        cut.wait(PATIENCE)

    assert others == [200] * 5
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert cut.is_set()


@pytest.mark.parametrize("line", [b"POST /lock", b"POST /nowhere", b"PUT /metrics", b"GET /status"])
def test_a_body_of_ten_gigabytes_fills_no_memory_and_is_cut_off(
    exporter: Running, line: bytes
) -> None:
    """Whoever can connect, key or not, can announce it."""
    process = psutil.Process(exporter.process.pid)
    before = process.memory_info().rss
    address = urlsplit(exporter.url)
    sent = 0
    with socket.create_connection((address.hostname or "", address.port or 0), PATIENCE) as sock:
        sock.sendall(line + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 10000000000\r\n\r\n")
        try:
            while sent < 128 * MEBIBYTE:
                sock.sendall(b"x" * MEBIBYTE)
                sent += MEBIBYTE
        except OSError:
            pass
        grown = process.memory_info().rss - before

    assert sent < 128 * MEBIBYTE
    assert grown < 16 * MEBIBYTE
    assert exporter.call("GET", "/-/ready").status == 200


def test_an_announced_body_that_is_too_large_is_told_so(exporter: Running) -> None:
    answer = raw(exporter, POST + b"Content-Length: 10000000000\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
