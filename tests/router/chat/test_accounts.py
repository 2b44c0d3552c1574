"""What the router keeps count of stays true, whatever clients send and however calls end."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpl_router.errors import BadRequest
from dpl_router.surfaces.openai import decode_chat
from dpl_router.surfaces.reading import text_bytes
from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import Node, running_router, until

HELLO = [{"role": "user", "content": "hello"}]
PATH = "/v1/chat/completions"


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": HELLO, **fields}


async def test_calls_that_share_an_id_are_counted_one_by_one(tmp_path: Path) -> None:
    """Gateways set one id for a whole fan-out, or keep it over their own retries."""
    with FakeOpenAi(tokens=["word "] * 40) as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "slots": 2}}
        async with running_router(nodes, folder=tmp_path) as router:
            node.faults = Faults(token_delay=0.03)
            async with router.client() as client:
                client.headers["x-request-id"] = "the-same"
                calls = [
                    asyncio.create_task(client.post(PATH, json=body(stream=True))) for _ in range(4)
                ]
                await until(lambda: node.open == 2)
                await asyncio.sleep(0.3)
                status = (await client.get("/api/status/all")).json()[0]
                most = node.open
                answers = await asyncio.gather(*calls)

    assert status["in_flight"] == 2
    assert most == 2
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.headers["x-request-id"] for answer in answers} == {"the-same"}


async def test_a_call_cancelled_in_the_middle_of_its_answer_gives_its_place_back(
    tmp_path: Path,
) -> None:
    with FakeOpenAi(tokens=["word "] * 100) as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "kind": "llamacpp"}}
        async with running_router(nodes, folder=tmp_path) as router:
            node.faults = Faults(token_delay=0.05)
            loop = asyncio.get_running_loop()
            chat = decode_chat(json.dumps(body()).encode(), "id")
            call = loop.create_task(
                router.parts.dispatcher.open(chat, loop.create_future(), key="me", route="chat")
            )
            await until(lambda: node.open == 1)
            await asyncio.sleep(0.3)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await until(lambda: node.open == 0, seconds=3)
            async with router.client() as client:
                status = (await client.get("/api/status/all")).json()[0]

    assert status["in_flight"] == 0


@pytest.mark.parametrize("most", [-100_000, -1, 0])
async def test_no_limit_of_a_client_ends_a_nodes_patience(tmp_path: Path, most: int) -> None:
    """-1 is `unlimited` to llama.cpp and Ollama; it must open no breaker."""
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            node.faults = Faults(head_delay=1.5)
            async with router.client() as client:
                answers = [await client.post(PATH, json=body(max_tokens=most)) for _ in range(2)]
                status = (await client.get("/api/status/all")).json()[0]

    assert decode_chat(json.dumps(body(max_tokens=most)).encode(), "id").max_tokens is None
    assert [answer.status_code for answer in answers] == [200] * 2
    assert status["state"] == "ready"


async def test_a_node_that_got_too_little_time_is_not_blamed(tmp_path: Path) -> None:
    """What the queue took of the budget is not the node's silence: else overload ejects nodes."""
    with FakeOpenAi() as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "slots": 1}}
        patience = {"timeouts": {"first_token": 3}}
        async with running_router(nodes, folder=tmp_path, router=patience) as router:
            node.faults = Faults(head_delay=2.6, times=1)
            async with router.client() as client:
                first = asyncio.create_task(client.post(PATH, json=body(stream=True)))
                await until(lambda: node.open == 1)
                node.faults = Faults(head_delay=30)
                late = [
                    asyncio.create_task(client.post(PATH, json=body(stream=True))) for _ in range(2)
                ]
                answers = await asyncio.gather(first, *late)
                status = (await client.get("/api/status/all")).json()[0]

    assert answers[0].status_code == 200
    assert {answer.status_code for answer in answers[1:]} <= {429, 504}
    assert status["state"] == "ready"


async def test_a_nodes_own_patience_is_kept(tmp_path: Path) -> None:
    with FakeOpenAi() as slow, FakeOpenAi() as good:
        nodes: dict[str, Node] = {
            "slow": {"url": slow.url, "timeouts": {"first_token": 2}},
            "good": {"url": good.url, "slots": 1},
        }
        async with running_router(nodes, folder=tmp_path) as router:
            slow.faults, good.faults = Faults(hang="before_head"), Faults(token_delay=0.2)
            async with router.client() as client:
                calls = [client.post(PATH, json=body(stream=True)) for _ in range(3)]
                answers = await asyncio.gather(*calls)

    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.headers["x-dpl-node"] for answer in answers} == {"good"}


@pytest.mark.parametrize("name", ["Model", "MODEL", "Stream", "ſtream"])
async def test_a_key_kept_to_models_cannot_smuggle_another_name(tmp_path: Path, name: str) -> None:
    """Go's JSON, and so Ollama, reads `Model` as `model`, and the last one wins."""
    keys = tmp_path / "keys.yaml"
    digest = hashlib.sha256(b"me").hexdigest()
    key = {"name": "me", "role": "user", "sha256": digest, "models": ["tiny"]}
    keys.write_text(yaml.safe_dump({"keys": [key]}))
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path, keys_file=keys) as router:
            async with router.client("me") as client:
                answer = await client.post(PATH, json=body(**{name: "forbidden"}))

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == name
    assert node.chats == []


async def test_a_long_refusal_is_the_requests_fault_and_not_the_nodes(tmp_path: Path) -> None:
    """FastAPI's 422 repeats the whole input."""
    long = '{"detail": "' + "x" * 300_000 + '"}'
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            node.faults = Faults(status=422, body=long)
            async with router.client() as client:
                answers = [await client.post(PATH, json=body()) for _ in range(6)]
                status = (await client.get("/api/status/all")).json()[0]

    assert [answer.status_code for answer in answers] == [422] * 6
    assert status["state"] == "ready"


def test_a_picture_does_not_weigh_as_a_prompt() -> None:
    picture = "data:image/png;base64," + "A" * 10_000_000
    content = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    sent = json.dumps(body(messages=[{"role": "user", "content": content}])).encode()

    assert text_bytes(sent) < 500
    assert text_bytes(b'{"cut": "data:x;base64,AAAA') < 25
    assert decode_chat(sent, "id").prompt_tokens < 200


def test_a_limit_beyond_all_bounds_is_a_large_one() -> None:
    sent = b'{"messages": [{"role": "user"}], "max_tokens": 1' + b"0" * 18 + b"}"

    assert decode_chat(sent, "id").max_tokens == 1_000_000


def test_a_message_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest):
        decode_chat(b'{"messages": [null]}', "id")


async def test_when_the_router_ends_both_who_hears_and_who_waits_is_told(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=["word "] * 100) as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "slots": 1}}
        async with running_router(nodes, folder=tmp_path) as router:
            node.faults = Faults(token_delay=0.05)
            async with router.client() as client:
                runs = asyncio.create_task(client.post(PATH, json=body(stream=True)))
                await until(lambda: node.open == 1)
                waits = asyncio.create_task(client.post(PATH, json=body(stream=True)))
                await asyncio.sleep(0.3)
                router.parts.dispatcher.cut()
                heard, waited = await asyncio.gather(runs, waits)

    assert heard.status_code == 200
    assert "shutting down" in heard.text
    assert "[DONE]" not in heard.text
    assert waited.status_code == 503
    assert "retry-after" in waited.headers


async def test_a_client_that_stops_reading_is_cut_off_and_its_node_freed(tmp_path: Path) -> None:
    """Fifteen seconds; until then the node is slowed down, and nothing is gathered here."""
    with FakeOpenAi(tokens=["x" * 4000] * 4000) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            port = int(router.url.rsplit(":", 1)[1])
            sent = json.dumps(body(stream=True)).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(sent)}\r\n\r\n"
            writer.write(head.encode() + sent)
            await until(lambda: node.open == 1)
            await until(lambda: node.hang_ups, seconds=30)
            writer.close()
            await until(lambda: router.parts.dispatcher.open_calls == 0)

    assert len(node.finished) == 0
