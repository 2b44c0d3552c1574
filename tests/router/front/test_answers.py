"""How an application's answer looks on the wire."""

import gc
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.router.front.stage import END, GET, App, answer, echo, listening, one, read_all

CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"


async def piecewise(scope: Any, receive: Any, send: Any) -> None:
    """No length: chunks, or all until the end for HTTP/1.0."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (b"one", b"", b"two"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def whole(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"hello", (b"x-a", b"b"))


async def test_an_answer_with_a_length_goes_out_as_it_is() -> None:
    async with listening(App(whole)) as stage:
        raw = await stage.say(CLOSING)

    status, headers, body = one(raw)
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (status, body) == (200, b"hello")
    assert headers["x-a"] == "b"
    assert headers["connection"] == "close"
    assert parsedate_to_datetime(headers["date"]).tzinfo is not None


async def test_an_answer_without_a_length_goes_out_in_chunks() -> None:
    async with listening(App(piecewise)) as stage:
        _, headers, body = one(await stage.say(CLOSING))

    assert headers["transfer-encoding"] == "chunked"
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_http_1_0_gets_no_chunks_and_the_end_of_the_connection_is_the_end() -> None:
    async with listening(App(piecewise)) as stage:
        _, headers, body = one(await stage.say(OLD))

    assert "transfer-encoding" not in headers
    assert body == b"onetwo"


async def test_http_1_0_is_kept_alive_where_it_asks_and_the_length_is_known() -> None:
    asks = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    async with listening(App(whole)) as stage:
        _, headers, rest = one(await stage.say(asks + OLD))

    assert headers["connection"] == "keep-alive"
    assert rest.startswith(b"helloHTTP/1.1 200")


@pytest.mark.parametrize("serve", [whole, piecewise])
async def test_head_has_the_headers_and_no_body(serve: Any) -> None:
    async with listening(App(serve)) as stage:
        raw = await stage.say(CLOSING.replace(b"GET", b"HEAD"))

    assert raw.endswith(END)
    assert raw.count(END) == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_says_no_length(status: int) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with listening(App(nothing)) as stage:
        said = one(await stage.say(GET + CLOSING))

    assert said[0] == status
    assert "transfer-encoding" not in said[1]
    assert said[2].startswith(b"HTTP/1.1 %d" % status)


async def test_answers_come_in_the_order_of_their_requests() -> None:
    many = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50)]
    async with listening(App(echo)) as stage:
        raw = await stage.say(b"".join(many) + CLOSING)

    places = [raw.find(b'"path": "/%d"' % number) for number in range(50)]
    assert places[0] > 0
    assert places == sorted(places)


async def test_what_follows_a_bad_request_is_not_served_and_what_came_before_it_is() -> None:
    app = App(echo)
    async with listening(app) as stage:
        raw = await stage.say(GET + b"rubbish\r\n\r\n" + GET)

    assert raw.count(b"HTTP/1.1 ") == 2
    assert raw.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 400" in raw
    assert len(app.scopes) == 1


async def test_a_bug_before_the_answer_is_a_500_and_after_it_a_broken_answer() -> None:
    async def early(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("a bug")

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})

    async with listening(App(early)) as stage:
        assert one(await stage.say(GET))[0] == 500
    async with listening(App(late)) as stage:
        reader, writer = await stage.open()
        writer.write(GET)
        raw = b""
        try:
            while piece := await reader.read(1000):
                raw += piece
        except ConnectionResetError:
            pass
        writer.close()

    gc.collect()  # a bug that nobody retrieved is told by the collector, at any time later
    assert b"3\r\none\r\n" in raw
    assert not raw.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb"])
async def test_a_header_cannot_smuggle_another_one(value: bytes) -> None:
    async def smuggler(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"", (b"x-a", value))

    async with listening(App(smuggler)) as stage:
        raw = await stage.say(CLOSING)

    assert b"x-a" not in raw


async def test_a_client_that_waits_for_a_100_gets_one_when_its_body_is_wanted() -> None:
    ask = (
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n"
        b"Connection: close\r\n\r\n"
    )
    async with listening(App(echo)) as stage:
        reader, writer = await stage.open()
        writer.write(ask)
        assert await reader.readuntil(END) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        status, _, body = one(await reader.read())
        writer.close()

    assert status == 200
    assert b"hello" in body


async def test_a_client_that_waits_for_a_100_is_told_at_once_where_it_is_refused() -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"no", status=401)

    ask = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    async with listening(App(refuse)) as stage:
        status, headers, body = one(await stage.say(ask))

    assert (status, body) == (401, b"no")
    assert headers["connection"] == "close"


async def test_an_answer_that_comes_before_its_request_is_read_reaches_the_client() -> None:
    """A close with bytes unread would reset the connection, and the answer would be lost."""

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"too large", status=413)

    body = b"x" * 1_000_000
    async with listening(App(refuse)) as stage:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n"
        status, headers, said = one(await stage.say(head, body, body, pause=0.05))

    assert (status, said) == (413, b"too large")
    assert headers["connection"] == "close"


async def test_a_surface_that_knows_the_wire_writes_without_a_message() -> None:
    async def direct(scope: Any, receive: Any, send: Any) -> None:
        await read_all(receive)
        wire = scope["extensions"]["dpl.wire"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        wire.write(b"one")
        wire.write(b"two")
        await send({"type": "http.response.body", "body": b"end"})

    async with listening(App(direct)) as stage:
        _, _, body = one(await stage.say(CLOSING))

    assert body == b"3\r\none\r\n3\r\ntwo\r\n3\r\nend\r\n0\r\n\r\n"


async def test_a_whole_answer_may_be_given_without_a_message_and_only_once() -> None:
    again: list[str] = []

    async def direct(scope: Any, receive: Any, send: Any) -> None:
        await read_all(receive)
        wire = scope["extensions"]["dpl.wire"]
        wire.answer(b"x-dpl-node: a\r\n", b"hello")
        with pytest.raises(RuntimeError):
            wire.answer(b"", b"again")
        again.append("refused")

    async with listening(App(direct)) as stage:
        raw = await stage.say(GET + CLOSING)

    assert raw.count(b"HTTP/1.1 200 OK") == raw.count(b"hello") == 2
    assert b"again" not in raw
    assert again == ["refused", "refused"]
