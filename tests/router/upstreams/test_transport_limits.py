"""The data path under time: time-outs by one sweep, back-pressure, many streams, TLS."""

import asyncio
import gc
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dpl_router.errors import UpstreamBroke, UpstreamSilent, UpstreamUnreachable
from dpl_router.upstreams.base import Request
from dpl_router.upstreams.transport import Limits, NodePool, Origin, Timeouts, UpstreamStream
from tests.fakes.wire import Peer, served
from tests.router.upstreams.pooled import BOTH_LOOPS, CHUNKED, POST, failing, pooled, swept

PATIENT = Timeouts(connect=30, first_byte=30, idle=30, total=60)
TLS = Path(__file__).with_name("tls")


@pytest.fixture(params=BOTH_LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


def saying(
    *parts: bytes, then_wait: float = 30, every: float = 0
) -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await peer.request()
        for part in parts:
            await peer.say(part)
            await asyncio.sleep(every)
        await asyncio.sleep(then_wait)

    return script


@pytest.mark.parametrize("parts", [[], [CHUNKED]], ids=["no head", "an early head"])
async def test_the_first_byte_of_the_body_has_its_budget(parts: list[bytes]) -> None:
    async with pooled(saying(*parts)) as pool:
        error = await failing(pool.send(POST, Timeouts(first_byte=0.1)))

        assert isinstance(error, UpstreamSilent)
        assert pool.active == 0


async def test_the_total_is_a_budget_for_the_first_byte_too() -> None:
    async with pooled(saying()) as pool:
        assert isinstance(await failing(pool.send(POST, Timeouts(total=0.1))), UpstreamSilent)


async def test_after_the_first_byte_only_silence_counts() -> None:
    drip = [CHUNKED, *[b"1\r\nx\r\n"] * 10, b"0\r\n\r\n"]
    async with pooled(saying(*drip, every=0.05)) as pool:
        stream = pool.send(POST, Timeouts(first_byte=0.3, idle=0.3))

        assert await stream.read() == b"x" * 10


async def test_an_answer_that_stalls_breaks() -> None:
    async with pooled(saying(CHUNKED + b"2\r\nhi\r\n")) as pool:
        error = await failing(pool.send(POST, Timeouts(idle=0.1)))

        assert isinstance(error, UpstreamBroke)
        assert "stalled" in error.message


async def test_an_answer_without_end_is_cut_off() -> None:
    async with pooled(saying(CHUNKED, *[b"1\r\nx\r\n"] * 1000)) as pool:
        error = await failing(pool.send(POST, Timeouts(total=0.2)))

        assert isinstance(error, UpstreamBroke)
        assert "more than 0.2 s" in error.message


async def test_connecting_has_its_own_budget() -> None:
    """A TLS handshake that nobody answers: connected, and yet not."""
    async with served(saying()) as url:
        origin = Origin.parse(url.replace("http:", "https:"))
        async with swept(NodePool(origin)) as pool:
            error = await failing(pool.send(POST, Timeouts(connect=0.1)))

            assert isinstance(error, UpstreamUnreachable)
            assert not error.sent_whole
            assert pool.active == 0


async def test_an_end_that_never_comes_after_the_last_word_costs_only_the_connection() -> None:
    async with pooled(saying(CHUNKED + b"2\r\nhi\r\n")) as pool:
        stream = pool.send(POST, PATIENT)
        await stream.more()
        stream.finish()
        pool.sweep(asyncio.get_running_loop().time() + 1)
        kept = pool.active
        pool.sweep(asyncio.get_running_loop().time() + 10)

        assert (kept, pool.active, pool.idle) == (1, 0, 0)


async def test_a_reader_that_does_not_take_holds_up_the_node_and_fills_nothing() -> None:
    """Its silence is ours, so it is no time-out; the bytes all arrive in the end."""
    sent = 0
    block = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(CHUNKED)
        for _ in range(400):
            await peer.say(block)
            sent += 1
        await peer.say(b"0\r\n\r\n")

    async with pooled(script, Limits(high_water=100_000)) as pool:
        stream = pool.send(POST, Timeouts(idle=0.2))
        await stream.more()
        await asyncio.sleep(1.0)
        stalled_at = sent
        waiting = len(stream.take())
        rest = await stream.read()

        assert waiting < 500_000
        assert stalled_at < 300
        assert waiting + len(rest) == 400 * 65536


async def test_an_aborted_reader_lets_the_node_go_while_it_is_held_up() -> None:
    hung_up = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        try:
            await peer.say(CHUNKED, *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 1000)
        except OSError:
            hung_up.set()

    async with pooled(script, Limits(high_water=1000)) as pool:
        stream = pool.send(POST, PATIENT)
        await stream.more()
        await asyncio.sleep(0.1)
        stream.abort()

        await asyncio.wait_for(hung_up.wait(), 5)


async def test_finish_while_held_up_reads_the_rest_away() -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(b"x" * 2_000_000)

    async with pooled(script, Limits(high_water=1000)) as pool:
        stream = pool.send(POST, PATIENT)
        await stream.more()
        await asyncio.sleep(0.1)
        stream.finish()
        await asyncio.sleep(0.5)

        assert (pool.active, pool.idle) == (0, 1)


async def test_a_thousand_streams_at_once_lose_nothing_and_mix_nothing() -> None:
    async def script(peer: Peer) -> None:
        while True:
            name = (await peer.request()).rpartition(b"\r\n\r\n")[2]
            for at in range(5):
                piece = b"%s.%d " % (name, at)
                await peer.say((b"" if at else CHUNKED) + b"%x\r\n%s\r\n" % (len(piece), piece))
                await asyncio.sleep(0.02)
            await peer.say(b"0\r\n\r\n")

    async def one(pool: NodePool, name: bytes) -> bool:
        stream = pool.send(Request("POST", "/", name), PATIENT)
        try:
            return await stream.read() == b"".join(b"%s.%d " % (name, at) for at in range(5))
        finally:
            stream.close()

    async with pooled(script) as pool:
        answers = await asyncio.gather(*(one(pool, b"s%d" % n) for n in range(1000)))

        assert all(answers)
        assert pool.active == 0
        assert pool.idle <= 64


def streams() -> list[UpstreamStream]:
    """All that there are in this process; a test that failed before may hold some."""
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, UpstreamStream)]


async def test_nothing_is_left_for_the_collector() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()

    before = streams()
    async with pooled(script) as pool:
        for _ in range(3):
            await pool.send(POST, PATIENT).read()
            pool.send(POST, PATIENT).close()
        await asyncio.sleep(0.1)

        assert len(streams()) <= len(before) + 1


def context() -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    return server


async def answering(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer()


async def test_a_node_may_speak_tls() -> None:
    trust = ssl.create_default_context(cafile=str(TLS / "cert.pem"))
    async with (
        served(answering, context()) as url,
        swept(NodePool(Origin.parse(url), tls=trust)) as pool,
    ):
        for _ in range(2):
            assert await pool.send(POST, PATIENT).read() == b"ok"
        assert (pool.opened, pool.reused) == (1, 1)
        stream = pool.send(POST, PATIENT)
        stream.abort()


async def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    async with (
        served(answering, context()) as url,
        swept(NodePool(Origin.parse(url))) as pool,
    ):
        error = await failing(pool.send(POST, PATIENT))

        assert isinstance(error, UpstreamUnreachable)
        assert "CERTIFICATE" in error.message
