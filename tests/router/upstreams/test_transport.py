"""The data path at the wire: reuse, retry of a stale connection, cancelling. On both loops."""

import asyncio

import pytest

from dpl_router.errors import ClientGone, UpstreamUnreachable
from dpl_router.upstreams.base import Request
from dpl_router.upstreams.transport import Limits, NodePool, Origin
from tests.fakes.wire import Peer, served
from tests.router.upstreams.pooled import BOTH_LOOPS, CHUNKED, POST, QUICK, failing, fetch, pooled


@pytest.fixture(params=BOTH_LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


async def keep_answering(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer(str(peer.number).encode())


async def test_the_request_is_as_the_node_needs_it() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.answer()

    async with served(script) as url:
        pool = NodePool(Origin.parse(f"{url}/base"), headers={"Authorization": "Bearer k"})
        assert await fetch(pool) == (200, b"ok")
        pool.close()

    authority = url.removeprefix("http://")
    assert seen[0].decode().split("\r\n") == [
        "POST /base/v1/chat/completions HTTP/1.1",
        f"Host: {authority}",
        "User-Agent: dpl-router",
        "Accept-Encoding: identity",
        "Authorization: Bearer k",
        "Content-Type: application/json",
        "Content-Length: 7",
        "",
        '{"x":1}',
    ]


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb"])
async def test_a_header_cannot_break_out_of_its_line(value: str) -> None:
    pool = NodePool(Origin.parse("http://127.0.0.1:9"))

    with pytest.raises(ValueError, match="line break"):
        pool.send(Request("GET", "/", headers={"X-Request-Id": value}), QUICK)

    assert pool.active == 0


async def test_a_connection_is_used_again() -> None:
    async with pooled(keep_answering) as pool:
        answers = [await fetch(pool) for _ in range(5)]

        assert answers == [(200, b"1")] * 5
        assert (pool.opened, pool.reused, pool.idle) == (1, 4, 1)


async def test_the_connection_used_last_is_used_first() -> None:
    """Few stay warm, the others lapse."""
    async with pooled(keep_answering) as pool:
        streams = [pool.send(POST, QUICK) for _ in range(3)]
        for stream in streams:
            await stream.read()

        used = await fetch(pool)
        assert [await fetch(pool) for _ in range(3)] == [used] * 3


async def test_only_so_many_idle_connections_are_kept() -> None:
    async with pooled(keep_answering, Limits(keep=2)) as pool:
        await asyncio.gather(*(fetch(pool) for _ in range(5)))

        assert pool.idle == 2


async def test_an_idle_connection_is_let_go_before_the_server_does() -> None:
    async with pooled(keep_answering, Limits(keep_seconds=0.05)) as pool:
        await fetch(pool)
        await asyncio.sleep(0.3)

        assert pool.idle == 0
        assert await fetch(pool) == (200, b"2")


async def test_a_connection_too_old_is_not_used_between_two_sweeps() -> None:
    async with served(keep_answering) as url:
        pool = NodePool(Origin.parse(url), Limits(keep_seconds=0.05))
        await fetch(pool)
        await asyncio.sleep(0.1)

        assert await fetch(pool) == (200, b"2")
        pool.close()


async def test_a_connection_closed_while_idle_is_replaced_silently() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(str(peer.number).encode())

    async with pooled(script) as pool:
        await fetch(pool)
        await asyncio.sleep(0.1)

        assert pool.idle == 0
        assert await fetch(pool) == (200, b"2")


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_a_reused_connection_that_breaks_before_an_answer_is_tried_once_more(
    way: str,
) -> None:
    """The server closed it while our request was on its way."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(str(peer.number).encode())
        await peer.request()
        if peer.number == 1:
            getattr(peer, way)()
        else:
            await peer.answer(b"again")

    async with pooled(script) as pool:
        await fetch(pool)

        assert await fetch(pool) == (200, b"2")
        assert pool.opened == 2


async def test_a_fresh_connection_that_breaks_is_not_tried_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async with pooled(script) as pool:
        error = await failing(pool.send(POST, QUICK))

        assert isinstance(error, UpstreamUnreachable)
        assert error.sent_whole
        assert pool.opened == 1


async def test_what_is_sent_again_on_a_fresh_connection_is_sent_once_more_only() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.answer()
            await peer.request()
        peer.reset()

    async with pooled(script) as pool:
        await fetch(pool)
        error = await failing(pool.send(POST, QUICK))

        assert isinstance(error, UpstreamUnreachable)
        assert pool.opened == 2


async def test_a_refused_connection_was_not_sent() -> None:
    async with served(keep_answering) as url:
        pass
    pool = NodePool(Origin.parse(url))

    error = await failing(pool.send(POST, QUICK))

    assert isinstance(error, UpstreamUnreachable)
    assert not error.sent_whole
    assert "127.0.0.1" not in error.message


async def test_an_unknown_host_is_unreachable() -> None:
    pool = NodePool(Origin("http", "no-such-host.invalid", 80))

    assert isinstance(await failing(pool.send(POST, QUICK)), UpstreamUnreachable)


async def test_a_body_that_had_not_left_was_not_sent_whole() -> None:
    async def script(peer: Peer) -> None:
        await asyncio.sleep(0.05)
        peer.reset()

    async with pooled(script) as pool:
        error = await failing(pool.send(Request("POST", "/", b"x" * 30_000_000), QUICK))

        assert isinstance(error, UpstreamUnreachable)
        assert not error.sent_whole


async def test_a_big_body_arrives_whole() -> None:
    sizes: list[int] = []

    async def script(peer: Peer) -> None:
        sizes.append(len((await peer.request()).partition(b"\r\n\r\n")[2]))
        await peer.answer()

    async with pooled(script) as pool:
        assert await fetch(pool, Request("POST", "/", b"x" * 5_000_000)) == (200, b"ok")
        assert sizes == [5_000_000]


async def test_an_answer_that_comes_while_we_still_send_is_taken() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(b"too large")
        await peer.heard_hang_up()

    async with pooled(script) as pool:
        assert await fetch(pool, Request("POST", "/", b"x" * 30_000_000)) == (200, b"too large")
        assert pool.idle == 0


async def test_bytes_that_nobody_asked_for_cost_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfalse")
        await peer.heard_hang_up()

    async with pooled(script) as pool:
        await fetch(pool)
        await asyncio.sleep(0.1)

        assert pool.idle == 0


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.heard_hang_up()


async def test_abort_reaches_who_waits_and_the_node_at_once() -> None:
    hung_up = asyncio.Event()

    async def script(peer: Peer) -> None:
        await silent(peer)
        hung_up.set()

    async with pooled(script) as pool:
        stream = pool.send(POST, QUICK)
        waiting = asyncio.create_task(stream.head())
        await asyncio.sleep(0.05)
        stream.abort(ClientGone("bye"))
        stream.abort()
        stream.close()

        with pytest.raises(ClientGone, match="bye"):
            await waiting
        with pytest.raises(ClientGone, match="bye"):
            await stream.more()
        await asyncio.wait_for(hung_up.wait(), 1)
        assert (pool.active, pool.idle) == (0, 0)


async def test_abort_in_mid_stream_throws_away_what_came() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"2\r\nhi\r\n")
        await peer.heard_hang_up()

    async with pooled(script) as pool:
        stream = pool.send(POST, QUICK)
        await stream.more()
        stream.abort()

        assert stream.take() == b""
        with pytest.raises(ClientGone):
            await stream.more()


async def test_abort_while_connecting_sends_nothing() -> None:
    seen: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        seen.append(peer.number)

    async with pooled(script) as pool:
        pool.send(POST, QUICK).abort()
        await asyncio.sleep(0.1)

        assert not seen
        assert pool.active == 0


async def test_abort_after_the_end_is_told_to_who_asks_later() -> None:
    async with pooled(keep_answering) as pool:
        stream = pool.send(POST, QUICK)
        await stream.read()
        stream.abort(ClientGone("bye"))
        stream.abort(ClientGone("again"))

        with pytest.raises(ClientGone, match="bye"):
            await stream.more()
        assert pool.idle == 1


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    async with pooled(silent) as pool:
        stream = pool.send(POST, QUICK)
        waiting = asyncio.create_task(stream.head())
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        stream.close()

        assert pool.active == 0


async def test_finish_keeps_the_connection_whose_end_comes_a_packet_later() -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(CHUNKED + b"2\r\nhi\r\n")
            await asyncio.sleep(0.1)
            await peer.say(b"3\r\nend\r\n0\r\n\r\n")

    async with pooled(script) as pool:
        stream = pool.send(POST, QUICK)
        assert await stream.more()
        stream.finish()
        stream.finish()
        stream.close()
        await asyncio.sleep(0.3)

        assert (pool.active, pool.idle) == (0, 1)
        assert stream.take() == b""
        assert await fetch(pool) == (200, b"hiend")
        assert pool.opened == 1


async def test_finish_after_the_end_changes_nothing() -> None:
    async with pooled(keep_answering) as pool:
        stream = pool.send(POST, QUICK)
        await stream.read()
        stream.finish()
        stream.close()

        assert pool.idle == 1


async def test_a_plain_body_has_a_limit() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"x" * 1000)

    async with pooled(script, Limits(plain_body=999)) as pool:
        error = await failing(pool.send(POST, QUICK))

        assert "999" in error.message


async def test_a_closed_pool_ends_all_and_starts_nothing() -> None:
    async with pooled(silent) as pool:
        stream = pool.send(POST, QUICK)
        waiting = asyncio.create_task(stream.head())
        await asyncio.sleep(0.05)
        pool.close()

        with pytest.raises(UpstreamUnreachable):
            await waiting
        assert isinstance(await failing(pool.send(POST, QUICK)), UpstreamUnreachable)
