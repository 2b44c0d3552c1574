"""One chat, from the client's socket to the node's and back."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest

from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import running_router, until
from tests.router.chat.talking import PATH, body, events, text_of


async def test_a_plain_chat_is_answered_and_names_its_node(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(PATH, json=body(), headers={"x-request-id": "my-id"})

    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "Hello from the fake."
    assert answer.headers["x-dpl-node"] == "a"
    assert answer.headers["x-dpl-reason"] == "only"
    assert answer.headers["x-dpl-attempts"] == "1"
    assert answer.headers["x-request-id"] == "my-id"


async def test_a_stream_ends_with_one_finish_reason_and_done(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(PATH, json=body(stream=True))

    chunks = events(answer.text)
    finishes = [c["choices"][0]["finish_reason"] for c in chunks if c != "[DONE]"]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert text_of(chunks) == "Hello from the fake."
    assert chunks[-1] == "[DONE]"
    assert [finish for finish in finishes if finish] == ["stop"]
    assert {c["model"] for c in chunks if c != "[DONE]"} == {"tiny"}


async def test_the_usage_chunk_comes_only_where_it_was_asked_for(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                without = await client.post(PATH, json=body(stream=True))
                asked = body(stream=True, stream_options={"include_usage": True})
                with_usage = await client.post(PATH, json=asked)
        sent = [chat.json["stream_options"]["include_usage"] for chat in node.chats]

    assert sent == [True, True]
    assert not any(c != "[DONE]" and c.get("usage") for c in events(without.text))
    assert sum(bool(c != "[DONE]" and c.get("usage")) for c in events(with_usage.text)) == 1


async def test_unknown_fields_reach_the_node_and_the_callers_key_does_not(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client(key="secret-of-the-caller") as client:
                await client.post(PATH, json=body(my_own_field={"deep": [1, 2]}))
        seen = node.chats[0]

    assert seen.json["my_own_field"] == {"deep": [1, 2]}
    assert "secret-of-the-caller" not in str(seen.headers)


@pytest.mark.parametrize("model", ["auto", "", None])
async def test_without_a_model_the_router_chooses_one_that_is_there(
    tmp_path: Path, model: str | None
) -> None:
    with FakeOpenAi(model="the-only-one") as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(PATH, json=body(model=model))
        seen = node.chats[0]

    assert answer.status_code == 200
    assert seen.json["model"] == "the-only-one"


@pytest.mark.parametrize(
    ("sent", "status", "param"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b"[]", 400, None),
        (b"\xff\xfe{}", 400, None),
        (b"{}", 400, "messages"),
        (b'{"messages": []}', 400, "messages"),
        (b'{"messages": "hello"}', 400, "messages"),
        (b'{"messages": [{"content": "no role"}]}', 400, "messages[0]"),
        (b'{"messages": [{"role": "user"}], "stream": "yes"}', 400, "stream"),
        (b'{"messages": [{"role": "user"}], "model": 7}', 400, "model"),
        (b"[" * 100_000, 400, None),
        (b'{"messages": [{"role": "user"}], "x": ' + b"[" * 100_000, 400, None),
    ],
)
async def test_a_bad_body_is_a_400_in_openais_envelope(
    tmp_path: Path, sent: bytes, status: int, param: str | None
) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(PATH, content=sent)

    error = answer.json()["error"]
    assert answer.status_code == status
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert node.chats == []


async def test_what_is_not_served_is_said_in_the_envelope_of_its_path(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                missing = await client.get("/v1/nothing")
                method = await client.get(PATH)
                unknown = await client.post(PATH, json=body(model="tinny"))
                elsewhere = await client.get("/api/nothing")
                zipped = await client.post(PATH, content=b"x", headers={"content-encoding": "zstd"})

    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (method.status_code, method.headers["allow"]) == (405, "POST")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert elsewhere.headers["content-type"] == "application/problem+json"
    assert "detail" in elsewhere.json()
    assert zipped.status_code == 415


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "slow",
    [Faults(head_delay=30), Faults(first_delay=30), Faults(token_delay=0.5)],
    ids=["head", "first", "token"],
)
async def test_a_hang_up_reaches_the_node_within_a_second(
    tmp_path: Path, slow: Faults, stream: bool
) -> None:
    """Before the first token, during the answer, and on plain requests."""
    with FakeOpenAi(tokens=["word "] * 100) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            node.faults = slow
            async with router.client() as client:
                call = asyncio.create_task(client.post(PATH, json=body(stream=stream)))
                await until(lambda: node.open == 1)
                await asyncio.sleep(0.7)
                call.cancel()
                left = time.monotonic()
                await asyncio.gather(call, return_exceptions=True)
            await until(lambda: node.hang_ups, seconds=5)
            heard = node.hang_ups[0]
            await until(lambda: router.parts.dispatcher.open_calls == 0)

    assert heard - left < 1.0


async def test_twenty_clients_that_leave_at_any_moment_leave_nothing_behind(
    tmp_path: Path,
) -> None:
    with FakeOpenAi(tokens=["word "] * 50, slots=3) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            node.faults = Faults(token_delay=0.02)
            for round_ in range(20):
                try:
                    async with httpx.AsyncClient(base_url=router.url) as client:
                        await client.post(
                            PATH, json=body(stream=round_ % 2 == 0), timeout=0.01 + 0.02 * round_
                        )
                except httpx.TimeoutException:
                    pass
            await until(lambda: router.parts.dispatcher.open_calls == 0)
            await until(lambda: node.open == 0)
            open_at_node = await router.metric('dpl_router_upstream_in_flight{model="tiny"')

    assert open_at_node == 0


async def test_requests_beyond_the_slots_wait_in_order_and_beyond_the_queue_get_429(
    tmp_path: Path,
) -> None:
    with FakeOpenAi(tokens=["word "] * 10) as node:
        one_slot = {"a": {"url": node.url, "slots": 1}}
        async with running_router(one_slot, folder=tmp_path) as router:
            node.faults = Faults(token_delay=0.03)
            async with router.client() as client:
                calls = []
                for _ in range(4):
                    calls.append(asyncio.create_task(client.post(PATH, json=body())))
                    await asyncio.sleep(0.05)
                answers = await asyncio.gather(*calls)

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[3].headers["retry-after"]) >= 1
    waits = [int(answer.headers["x-dpl-queue-ms"]) for answer in answers[:3]]
    assert waits == sorted(waits)
    assert waits[2] > 0


async def test_the_seeds_chat_tells_how_long_the_router_held_the_request(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": {"url": node.url, "slots": 1}}, folder=tmp_path) as router:
            node.faults = Faults(first_delay=0.5)
            async with router.client() as client:
                answers = await asyncio.gather(
                    *(client.post("/api/chat/completions", json=body()) for _ in range(2))
                )

    waits = sorted(events(answer.text)[0]["queue_ms"] for answer in answers)
    assert waits[0] == 0
    assert waits[1] > 0


async def test_the_seeds_chat_names_the_node_first_and_again_on_a_retry(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with running_router({"a": a.url, "b": b.url}, folder=tmp_path) as router:
            async with router.client() as client:
                plain = await client.post("/api/chat/completions", json=body())
                a.faults = b.faults = Faults(status=500, times=1)
                retried = await client.post("/api/chat/completions", json=body(stream=False))

    first = events(plain.text)
    assert set(first[0]) == {"node", "reason", "queue_ms"}
    assert first[0]["queue_ms"] == 0
    assert text_of(first[1:]) == "Hello from the fake."
    assert first[-1] == "[DONE]"
    again = events(retried.text)
    named = [event["node"] for event in again if event != "[DONE]" and "node" in event]
    assert len(named) >= 2
    assert named[0] != named[1]


async def test_the_seeds_chat_refuses_what_it_never_dispatched_with_a_status(
    tmp_path: Path,
) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post("/api/chat/completions", json=body(model="nope"))

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "nope" in answer.json()["detail"]


async def test_a_stream_that_is_silent_for_long_says_that_it_lives(tmp_path: Path) -> None:
    """A model loads, a prompt is long: proxies between would cut a silent connection."""
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path, heartbeat=0.2) as router:
            node.faults = Faults(head_delay=0.7)
            async with router.client() as client:
                answer = await client.post(PATH, json=body(stream=True))

    comments = [line for line in answer.text.splitlines() if line.startswith(":")]
    assert answer.headers["x-dpl-node"] == "pending"
    assert comments.count(": waiting for the node") >= 2
    assert ": node a" in comments
    assert text_of(events(answer.text)) == "Hello from the fake."


async def test_http_1_0_without_a_host_header_is_answered(tmp_path: Path) -> None:
    sent = json.dumps(body()).encode()
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            port = int(router.url.rsplit(":", 1)[1])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(sent))
            )
            writer.write(sent)
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()

    assert answer.startswith(b"HTTP/1.1 200")  # the version that we speak (RFC 9110, 2.5)
    assert b"Hello from the fake." in answer
