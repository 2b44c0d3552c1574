"""Calls to Prometheus, Alertmanager and exporters end in time and within their size."""

import asyncio
import base64
import time

import msgspec
import pytest

from dpl_router.control import MAX_ANSWER, Control, read_json
from dpl_router.errors import Unavailable, UpstreamSilent
from tests.fakes.wire import Peer, served


async def drip(peer: Peer) -> None:
    """Never silent for long, never at its end."""
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await peer.say(b"x")
        await asyncio.sleep(0.1)


async def test_the_time_given_is_for_the_whole_answer_not_for_each_byte() -> None:
    async with served(drip) as url:
        control = Control(url)
        started = time.monotonic()
        with pytest.raises(UpstreamSilent, match=r"0\.5 s"):
            await control.get("/metrics", seconds=0.5)
        took = time.monotonic() - started
        await control.close()

    assert took < 2.0


async def test_a_read_for_people_is_tried_again_where_nothing_came() -> None:
    async def second_time(peer: Peer) -> None:
        if peer.number > 1:
            await peer.request()
            await peer.answer(b"here")

    async with served(second_time) as url:
        control = Control(url)
        answer = await control.get("/api", seconds=2.0, tries=2)
        await control.close()

    assert answer.body == b"here"


async def test_an_answer_over_the_size_asked_for_is_refused() -> None:
    asked = 0

    async def long(peer: Peer) -> None:
        nonlocal asked
        asked += 1
        await peer.request()
        await peer.answer(b"x" * 2000)

    async with served(long) as url:
        control = Control(url)
        with pytest.raises(Unavailable, match="more than 1 KiB"):
            await control.get("/metrics", seconds=2.0, most=1024, tries=2)
        await control.close()

    assert asked == 1


async def test_a_peer_that_recovers_is_reached_after_many_calls_that_timed_out() -> None:
    """Each one given up must leave its place in the pool of 16."""
    ill = True

    async def script(peer: Peer) -> None:
        if ill:
            await drip(peer)
        await peer.request()
        await peer.answer(b"well")

    async with served(script) as url:
        control = Control(url)
        calls = [control.get("/", seconds=0.3) for _ in range(50)]
        given_up = await asyncio.gather(*calls, return_exceptions=True)
        ill = False
        answer = await control.get("/", seconds=2.0)
        await control.close()

    assert {type(each) for each in given_up} == {UpstreamSilent}
    assert answer.body == b"well"


async def test_no_proxy_of_the_environment_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys would go to it, and a node of the own network is not to be found through it."""

    async def here(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"here")

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with served(here) as url:
        control = Control(url, key="k")
        answer = await control.get("/", seconds=2.0)
        await control.close()

    assert answer.body == b"here"


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    """The key would be shown to whom it names."""
    paths: list[bytes] = []

    async def elsewhere(peer: Peer) -> None:
        paths.append((await peer.request()).split(b" ")[1])
        head = b"HTTP/1.1 307 Go\r\nLocation: /other\r\nConnection: close\r\n"
        await peer.say(head + b"Content-Length: 0\r\n\r\n")

    async with served(elsewhere) as url:
        control = Control(url, key="k")
        answer = await control.get("/asked", seconds=2.0)
        posted = await control.post("/posted", b"{}", seconds=2.0)
        await control.close()

    assert (answer.status, posted.status) == (307, 307)
    assert paths == [b"/asked", b"/posted"]


async def test_no_answer_is_read_beyond_eight_mebibytes() -> None:
    async def at(peer: Peer) -> None:
        over = b"/over" in await peer.request()
        await peer.answer(b"x" * (MAX_ANSWER + over), b"Connection: close")

    assert MAX_ANSWER == 8 * 1024 * 1024
    async with served(at) as url:
        control = Control(url)
        whole = await control.get("/just", seconds=20.0)
        with pytest.raises(Unavailable, match="more than 8192 KiB"):
            await control.get("/over", seconds=20.0)
        with pytest.raises(Unavailable, match="more than 8192 KiB"):
            await control.post("/over", b"{}", seconds=20.0)
        with pytest.raises(Unavailable, match="more than 1 KiB"):
            await control.post("/just", b"{}", seconds=20.0, most=1024)
        await control.close()

    assert len(whole.body) == MAX_ANSWER


@pytest.mark.parametrize("body", [b"", b"{", b'"\xff"', b"[" * 99_999, b"1e999"])
def test_what_is_no_json_is_unavailable_and_says_whose(body: bytes) -> None:
    with pytest.raises(Unavailable, match="the peer answered something else"):
        read_json(msgspec.json.decode, body, "the peer")


async def test_a_password_in_an_address_is_used_and_never_told() -> None:
    """These words reach viewers: /api/alerts, /api/prometheus/query, the banner."""
    asked: list[bytes] = []

    async def script(peer: Peer) -> None:
        asked.append(await peer.request())
        if peer.number == 1:
            await peer.answer(b"x" * 2000, b"Connection: close")
        else:
            await asyncio.sleep(5)

    async with served(script) as url:
        control = Control(url.replace("//", "//admin:s3cret@"))
        with pytest.raises(Unavailable) as too_much:
            await control.get("/a", seconds=2.0, most=1024)
        with pytest.raises(UpstreamSilent) as late:
            await control.get("/a", seconds=0.2)
        await control.close()
    control = Control("http://admin:s3cret@127.0.0.1:9")
    with pytest.raises(Unavailable) as gone:
        await control.get("/a", seconds=2.0)
    await control.close()

    assert b"Authorization: Basic " + base64.b64encode(b"admin:s3cret") in asked[0]
    for told in (too_much, late, gone):
        assert told.value.message.startswith("http://127.0.0.1:")
        assert "s3cret" not in told.value.message
