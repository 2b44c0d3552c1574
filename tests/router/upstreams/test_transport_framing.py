"""The data path at the wire: every framing of an answer, and what is none. On both loops."""

import asyncio

import pytest

from dpl_router.errors import UpstreamBroke, UpstreamUnreachable
from tests.fakes.wire import Peer
from tests.router.upstreams.pooled import BOTH_LOOPS, CHUNKED, POST, QUICK, failing, fetch, pooled

SECOND = b"HTTP/1.1 201 Created\r\nX: y\r\nContent-Length: 1\r\n\r\nz"
HINTS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
HI = (200, b"hi")


@pytest.fixture(params=BOTH_LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


def ok(*headers: bytes, version: bytes = b"1.1", status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/" + version + b" " + status, *headers, b"", b""]
    return b"\r\n".join(lines)


TWO = b"Content-Length: 2"

FRAMES: dict[str, tuple[list[bytes], tuple[int, bytes], int]] = {
    "length": ([ok(TWO) + b"hi"], HI, 1),
    "head and body apart": ([ok(TWO), b"h", b"i"], HI, 1),
    "chunks": ([CHUNKED, b"1\r\nh\r\n1;x=y\r\ni\r\n", b"0\r\nT: x\r\n\r\n"], HI, 1),
    "until close": ([ok(), b"h", b"i"], HI, 0),
    "http/1.0": ([ok(TWO, version=b"1.0") + b"hi"], HI, 0),
    "says close": ([ok(b"Connection: close", TWO) + b"hi"], HI, 0),
    "204": ([ok(status=b"204 No Content")], (204, b""), 1),
    "304": ([ok(b"Content-Length: 9", status=b"304 Not Modified")], (304, b""), 1),
    "empty": ([ok(b"Content-Length: 0")], (200, b""), 1),
    "interim heads": ([HINTS, ok(TWO) + b"hi"], HI, 1),
    "redirect": ([ok(b"Location: /x", TWO, status=b"302 Found") + b"hi"], (302, b"hi"), 1),
    "garbage after": ([ok(TWO) + b"higarbage"], HI, 0),
    "a second answer": ([ok(TWO) + b"hi" + SECOND], HI, 0),
}


@pytest.mark.parametrize(("parts", "answer", "kept"), list(FRAMES.values()), ids=list(FRAMES))
@pytest.mark.parametrize("cut", [0, 1])
async def test_every_framing_of_an_answer_is_read(
    parts: list[bytes], answer: tuple[int, bytes], kept: int, cut: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if cut:
            for byte in b"".join(parts):
                await peer.say(bytes([byte]))
        else:
            await peer.say(*parts)
        if kept:
            await peer.heard_hang_up()

    async with pooled(script) as pool:
        assert await fetch(pool) == answer
        if not cut:
            assert pool.idle == kept


BROKEN = [
    b"garbage\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\n" + b"X-Y: zzzz\r\n" * 10_000,
    b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
]


@pytest.mark.parametrize("said", BROKEN, ids=range(len(BROKEN)))
async def test_what_is_no_answer_lets_another_node_try(said: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(said)
        await peer.heard_hang_up()

    async with pooled(script) as pool:
        error = await failing(pool.send(POST, QUICK))

        assert isinstance(error, UpstreamUnreachable)
        assert not error.sent_whole
        assert pool.idle == 0


async def test_trailers_without_end_are_cut_off() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"2\r\nhi\r\n0\r\nT: ", *[b"x" * 60_000] * 3)
        await peer.heard_hang_up()

    async with pooled(script) as pool:
        assert isinstance(await failing(pool.send(POST, QUICK)), UpstreamBroke)


@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.parametrize(
    "head", [CHUNKED + b"2\r\nhi\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"]
)
async def test_a_cut_answer_hands_out_what_came_and_then_breaks(way: str, head: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(head)
        getattr(peer, way)()

    async with pooled(script) as pool:
        stream = pool.send(POST, QUICK)
        assert await stream.more()
        await asyncio.sleep(0.05)

        assert stream.take() == b"hi"
        with pytest.raises(UpstreamBroke):
            await stream.more()


async def test_a_reset_is_no_end_of_a_body_that_ends_by_closing() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nhi")
        peer.reset()

    async with pooled(script) as pool:
        assert isinstance(await failing(pool.send(POST, QUICK)), UpstreamBroke)
