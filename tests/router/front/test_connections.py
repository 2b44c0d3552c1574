"""Clients that are slow, silent, many, or gone, and the end of the listener itself."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import replace
from typing import Any

import psutil
import pytest

from dpl_router.errors import ClientGone
from tests.router.front.stage import (
    GET,
    QUICK,
    App,
    answer,
    echo,
    listening,
    one,
    read_all,
    read_head,
    until,
)

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


class Watcher:
    """Says nothing until its client has left; counts those that did."""

    def __init__(self, *, by_future: bool = False) -> None:
        self.waiting = self.gone = 0
        self._by_future = by_future

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if await read_all(receive) is not None:
            self.waiting += 1
            if self._by_future:
                await scope["extensions"]["dpl.wire"].left()
            else:
                assert (await receive())["type"] == "http.disconnect"
        self.gone += 1


@pytest.mark.parametrize("by_future", [False, True])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
async def test_a_client_that_leaves_is_noticed_at_once(how: str, by_future: bool) -> None:
    watcher = Watcher(by_future=by_future)
    async with listening(App(watcher)) as stage:
        _, writer = await stage.open()
        writer.write(GET)
        await until(lambda: watcher.waiting)
        if how == "half":
            writer.write_eof()
        elif how == "reset":
            plain = writer.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
        else:
            writer.close()

        await until(lambda: watcher.gone, seconds=2)
        writer.close()


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_noticed_at_once() -> None:
    watcher = Watcher()
    async with listening(App(watcher)) as stage:
        _, writer = await stage.open()
        writer.write(POST + b"half")
        await asyncio.sleep(0.05)
        writer.close()

        await until(lambda: watcher.gone, seconds=2)


async def test_after_the_answer_the_application_hears_that_it_is_over() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_all(receive)
        await answer(send, b"")
        heard.append((await receive())["type"])

    async with listening(App(app)) as stage:
        await stage.say(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

        await until(lambda: heard == ["http.disconnect"])


async def test_sending_to_a_client_that_left_fails() -> None:
    """So an application that only sends comes to its end."""
    ends: list[BaseException] = []

    async def talker(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
                await asyncio.sleep(0.01)
        except ClientGone as error:
            ends.append(error)
            raise

    async with listening(App(talker)) as stage:
        reader, writer = await stage.open()
        writer.write(GET)
        await read_head(reader)
        writer.close()

        await until(lambda: ends, seconds=2)


async def test_a_connection_carries_request_after_request() -> None:
    async with listening(App(echo)) as stage:
        reader, writer = await stage.open()
        for number in range(20):
            writer.write(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            _, headers, _ = one(await read_head(reader))
            body = await reader.readexactly(int(headers["content-length"]))

            assert b'"/%d"' % number in body
        writer.close()


@pytest.mark.parametrize(
    "begun", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\nA: ", GET + b"GET / HT"], ids=range(3)
)
async def test_a_head_that_drips_is_cut(begun: bytes) -> None:
    limits = replace(QUICK, head_seconds=0.3)
    async with listening(App(echo), limits) as stage:
        reader, writer = await stage.open()
        writer.write(begun)
        dripping = asyncio.ensure_future(drip(writer))
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 5)
        dripping.cancel()
        writer.close()


async def drip(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(0.05)
        writer.write(b"x")


async def test_a_body_that_stops_is_told_and_cut() -> None:
    watcher = Watcher()
    limits = replace(QUICK, body_seconds=0.3)
    async with listening(App(watcher), limits) as stage:
        status, _, _ = one(await stage.say(POST + b"half"))

    assert status == 408
    assert watcher.gone == 1


async def test_an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not() -> None:
    limits = replace(QUICK, idle_seconds=0.3)
    watcher = Watcher()
    async with listening(App(watcher), limits) as stage:
        _, busy = await stage.open()
        busy.write(GET)
        idle_reader, idle = await stage.open()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(idle_reader.read(), 5) == b""
        await asyncio.sleep(0.5)

        assert watcher.gone == 0
        idle.close()
        busy.close()


async def test_connections_over_the_limit_are_told_so() -> None:
    async with listening(App(echo), replace(QUICK, connections=3)) as stage:
        open_ = [await stage.open() for _ in range(3)]
        await asyncio.sleep(0.1)
        status, headers, _ = one(await stage.say(b""))
        for _, writer in open_:
            writer.close()
        await asyncio.sleep(0.1)
        again, _, _ = one(await stage.say(GET.replace(b"a\r\n", b"a\r\nConnection: close\r\n")))

    assert status == 503
    assert headers["connection"] == "close"
    assert again == 200


class Flood:
    """Sends without end; `sent` bytes until now."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                body = b"x" * 10_000
                await send({"type": "http.response.body", "body": body, "more_body": True})
                self.sent += len(body)
        finally:
            self.ended = True


async def test_a_client_that_does_not_read_stops_the_application_and_is_cut_in_the_end() -> None:
    flood = Flood()
    async with listening(App(flood), replace(QUICK, stall_seconds=1.0)) as stage:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", stage.port))
        plain.sendall(GET)
        await until(lambda: flood.sent > 0)
        await asyncio.sleep(0.3)
        stopped_at = flood.sent
        await asyncio.sleep(0.3)
        assert flood.sent == stopped_at
        assert stopped_at < 16_000_000  # the kernel's buffers and ours

        await until(lambda: flood.ended, seconds=5)
        plain.close()


async def test_a_slow_reader_that_goes_on_is_not_cut() -> None:
    flood = Flood()
    async with listening(App(flood), replace(QUICK, stall_seconds=1.5)) as stage:
        reader, writer = await stage.open()
        writer.write(GET)
        for _ in range(30):
            await reader.readexactly(400_000)
            await asyncio.sleep(0.1)

        assert not flood.ended
        writer.close()


async def test_a_client_that_talks_ahead_is_not_read_any_further() -> None:
    async def never(scope: Any, receive: Any, send: Any) -> None:
        await scope["extensions"]["dpl.wire"].left()

    async with listening(App(never)) as stage:
        before = psutil.Process().memory_info().rss
        writers = []
        for _ in range(10):
            _, writer = await stage.open()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n")
            writer.write(b"x" * 1000)
            writers.append(writer)
        blocks = [writer.get_extra_info("socket").dup() for writer in writers]
        sent = 0
        for block in blocks:
            block.setblocking(False)
            for _ in range(50):
                with contextlib.suppress(BlockingIOError):
                    sent += block.send(b"x" * 200_000)
                await asyncio.sleep(0.001)
            block.close()
        grown = psutil.Process().memory_info().rss - before

        assert sent < 10 * 10_000_000
        assert grown < 60_000_000
        for writer in writers:
            writer.transport.abort()


async def test_requests_too_far_ahead_are_refused_after_the_answers_before_them() -> None:
    app = App(echo)
    async with listening(app) as stage:
        raw = await stage.say(GET * 20_000)

    assert len(app.scopes) == 65
    assert raw.count(b"HTTP/1.1 200 ") == 65
    assert raw.count(b"HTTP/1.1 503 ") == 1


async def test_a_client_that_talked_too_far_ahead_is_still_heard_leaving() -> None:
    watcher = Watcher()
    async with listening(App(watcher)) as stage:
        _, writer = await stage.open()
        writer.write(GET * 20_000)
        await until(lambda: watcher.waiting)
        writer.close()

        await until(lambda: watcher.gone, seconds=2)


async def test_four_hundred_streams_are_served_at_once() -> None:
    async def counting(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(5):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
            await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"."})

    close = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with listening(App(counting)) as stage:
        raw = await asyncio.gather(*(stage.say(close) for _ in range(400)))

    whole = b"".join(b"1\r\n%d\r\n" % number for number in range(5)) + b"1\r\n.\r\n0\r\n\r\n"
    assert {one(answer)[2] for answer in raw} == {whole}


async def test_at_the_end_running_answers_finish_and_idle_connections_close() -> None:
    release = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await release.wait()
        await send({"type": "http.response.body", "body": b"two"})

    app = App(slow)
    async with listening(app) as stage:
        reader, writer = await stage.open()
        writer.write(GET)
        await read_head(reader)
        idle_reader, idle = await stage.open()
        await asyncio.sleep(0.05)
        stopping = asyncio.ensure_future(stage.listener.stop(grace=5))
        assert await asyncio.wait_for(idle_reader.read(), 5) == b""
        with pytest.raises(ConnectionRefusedError):
            await stage.open()
        release.set()
        rest = await asyncio.wait_for(reader.read(), 5)
        await asyncio.wait_for(stopping, 5)
        writer.close()
        idle.close()

    assert rest.endswith(b"3\r\ntwo\r\n0\r\n\r\n")
    assert app.life == ["startup", "shutdown"]


async def test_at_the_end_what_takes_too_long_is_cancelled() -> None:
    ended: list[str] = []

    async def stuck(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async with listening(App(stuck)) as stage:
        _, writer = await stage.open()
        writer.write(GET)
        await until(lambda: stage.listener.running)
        await asyncio.sleep(0.05)
        await asyncio.wait_for(stage.listener.stop(grace=0.1), 5)
        writer.close()

    assert ended == ["cancelled"]


async def test_an_application_that_does_not_start_ends_the_start() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("no database")

    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no keys"})

    with pytest.raises(ValueError, match="no database"):
        async with listening(broken):
            pass
    with pytest.raises(RuntimeError, match="no keys"):
        async with listening(refusing):
            pass
