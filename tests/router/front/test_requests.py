"""What the listener takes as a request, and what it refuses."""

import json
from typing import Any

import pytest

from tests.router.front.stage import App, echo, listening, one

HOST = b"Host: a\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSE = b"Connection: close\r\n"


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
        (400, POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        (400, POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        (400, POST + b"Content-Length: 3, 3\r\n\r\nabc"),
        (400, POST + b"Content-Length: +3\r\n\r\nabc"),
        (400, POST + b"Content-Length: -3\r\n\r\nabc"),
        (400, POST + b"Content-Length: 0x3\r\n\r\nabc"),
        (400, POST + b"Content-Length: \r\n\r\nabc"),
        (400, POST + b"Content-Length : 3\r\n\r\nabc"),
        (400, POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc"),
        (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (400, POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        (400, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, CHUNKED + b"xx\r\n"),
        (400, CHUNKED + b"-1\r\n"),
        (400, CHUNKED + b"0x1\r\na\r\n0\r\n\r\n"),
        (400, CHUNKED + b"fffffffffffffffff\r\n"),
        (400, CHUNKED + b"1\na\n0\n\n"),
        (400, CHUNKED + b"1 \r\na\r\n0\r\n\r\n"),
        (400, CHUNKED + b"1\r\nab\r\n0\r\n\r\n"),
        (400, POST + b"A: b\r\n c\r\n\r\n"),
        (400, POST + b"A: b\r\n\tc\r\n\r\n"),
        (400, POST + b"A: b\0c\r\n\r\n"),
        (400, POST + b"A: b\rc\r\n\r\n"),
        (400, POST + b"A: b\nC: d\r\n\r\n"),
        (400, POST + b": b\r\n\r\n"),
        (400, POST + b"a b: c\r\n\r\n"),
        (400, b"GET / HTTP/1.1\nHost: a\n\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
        (400, b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET a:1 HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET http:///x HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET http://me@b/x HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n"),
        (505, b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
        (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (400, b"NONSENSE / HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00"),
        (431, POST + b"A: " + b"b" * 70_000 + b"\r\n\r\n"),
        (431, POST + b"A: b\r\n" * 300 + b"\r\n"),
        (431, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    ],
)  # fmt: skip
async def test_what_could_be_read_in_two_ways_is_refused(status: int, request_: bytes) -> None:
    """Otherwise a proxy before us and we could disagree where a request ends."""
    app = App(echo)
    async with listening(app) as stage:
        said = one(await stage.say(request_))
        after = one(await stage.say(b"GET / HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"))

    assert said[0] == status
    assert said[1]["connection"] == "close"
    assert after[0] == 200


@pytest.mark.parametrize("name", [b"A: ", b""])
async def test_a_head_that_never_ends_is_refused_before_it_fills_the_memory(name: bytes) -> None:
    async with listening(App(echo)) as stage:
        pieces = [POST + name, *[b"b" * 10_000] * 20]
        said = one(await stage.say(*pieces, pause=0.01))

    assert said[0] == 431


async def test_trailers_without_end_are_refused() -> None:
    async with listening(App(echo)) as stage:
        said = one(await stage.say(CHUNKED + b"0\r\nT: ", *[b"b" * 10_000] * 20, pause=0.01))

    assert said[0] == 431


async def told(*pieces: bytes, pause: float = 0.0) -> Any:
    async with listening(App(echo)) as stage:
        status, _, body = one(await stage.say(*pieces, pause=pause))
        assert status == 200
        return json.loads(body)


async def test_a_body_comes_whole_however_it_is_cut() -> None:
    sent = POST + CLOSE + b"Content-Length: 5\r\n\r\nhello"
    for at in range(1, len(sent), 7):
        said = await told(sent[:at], sent[at:], pause=0.01)

        assert said["body"] == "hello"


async def test_a_chunked_body_is_put_together_and_its_trailers_are_not_headers() -> None:
    chunks = b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nHost: evil\r\n\r\n"
    head = POST + CLOSE + b"Transfer-Encoding: Chunked\r\n\r\n"
    said = await told(head, *[bytes([byte]) for byte in chunks])

    assert said["body"] == "abcde"
    assert said["host"] == "a"


async def test_a_big_body_behind_a_split_head_is_no_big_head() -> None:
    body = b"x" * 200_000
    head = POST + CLOSE + b"Content-Length: %d\r\n\r\n" % len(body)
    said = await told(head[:20], head[20:] + body, pause=0.05)

    assert len(said["body"]) == len(body)


async def test_a_body_far_larger_than_what_is_read_ahead_comes_whole() -> None:
    body = b"x" * 5_000_000
    said = await told(POST + CLOSE + b"Content-Length: %d\r\n\r\n" % len(body), body)

    assert len(said["body"]) == len(body)


async def test_a_target_with_scheme_and_host_names_the_host_itself() -> None:
    said = await told(b"GET http://b:1/x/y?q=1 HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
    bare = await told(b"GET HTTP://b?q HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")

    assert (said["host"], said["path"], said["query"]) == ("b:1", "/x/y", "q=1")
    assert (bare["host"], bare["path"], bare["query"]) == ("b", "/", "q")


async def test_a_path_is_decoded_once() -> None:
    said = await told(b"GET /a%20b%2520c/%C3%A9?x=%20 HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")

    assert said["path"] == "/a b%20c/é"
    assert said["query"] == "x=%20"


async def test_empty_lines_before_a_request_are_passed_over() -> None:
    said = await told(b"\r\n\r\nGET /x HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")

    assert said["path"] == "/x"


async def test_a_wish_for_another_protocol_is_answered_in_this_one() -> None:
    """curl --http2 asks so, and Java's client with each first request."""
    wish = (
        b"Connection: Upgrade, HTTP2-Settings, close\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    )
    get = await told(b"GET /x HTTP/1.1\r\n" + HOST + wish + b"\r\n")
    post = await told(POST + wish + b"Content-Length: 5\r\n\r\nhello")
    cut = await told(POST + wish + b"Content-Length: 5\r\n\r\n", b"he", b"llo", pause=0.02)

    assert get["path"] == "/x"
    assert post["body"] == cut["body"] == "hello"


async def test_the_scope_says_who_called_whom() -> None:
    app = App(echo)
    async with listening(app) as stage:
        await stage.say(b"GET /x HTTP/1.1\r\nHOST: a\r\nX-Up: Y\r\n" + CLOSE + b"\r\n")

    (scope,) = app.scopes
    assert scope["client"][0] == "127.0.0.1"
    assert scope["server"] == ("127.0.0.1", stage.port)
    assert (scope["http_version"], scope["scheme"], scope["root_path"]) == ("1.1", "http", "")
    assert scope["headers"][:2] == [(b"host", b"a"), (b"x-up", b"Y")]
