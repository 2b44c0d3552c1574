"""What single recorded exchanges cannot tell of the fake Ollama: loads, queues, hang-ups, faults.

Source: the scenarios that were recorded with Ollama 0.32.15 and 0.24.0 (facts 1, 18 to 37, 53 of
their index).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.contract.asking import until
from tests.fakes.ollama import FakeOllama, Faults, Model

HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def node() -> AsyncIterator[FakeOllama]:
    with FakeOllama(slots=1, tokens=["a", "b", "c"]) as node:
        yield node


@pytest.fixture
async def client(node: FakeOllama) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=node.url, timeout=10) as client:
        yield client


async def ask(client: httpx.AsyncClient, model: str = "smollm2:135m", **more: Any) -> Any:
    """A plain answer to a chat."""
    body = {"model": model, "messages": HI, "stream": False, **more}
    return (await client.post("/api/chat", json=body)).json()


async def listed(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await client.get("/api/ps")).json()["models"]
    return rows


async def lines(client: httpx.AsyncClient, path: str = "/api/chat", **more: Any) -> list[Any]:
    body = {"model": "smollm2:135m", "messages": HI, "prompt": "hi", **more}
    answer = await client.post(path, json=body)
    return [json.loads(line) for line in answer.text.split("\n") if line]


async def test_no_head_leaves_before_the_first_token(
    node: FakeOllama, client: httpx.AsyncClient
) -> None:
    node.faults = Faults(first_delay=30)
    body = {"model": "smollm2:135m", "messages": HI}

    with pytest.raises(httpx.ReadTimeout):
        async with client.stream("POST", "/api/chat", json=body, timeout=0.2):
            pass


async def test_another_context_and_none_after_one_load_the_model_anew(
    node: FakeOllama, client: httpx.AsyncClient
) -> None:
    await ask(client)
    await ask(client, options={"temperature": 0.5})
    await ask(client, options={"num_ctx": 512})
    await ask(client, options={"num_ctx": 512})
    await ask(client)

    assert [context for _, context in node.loaded] == [4096, 512, 4096]
    assert node.loads == 3


async def test_a_load_is_told_by_its_duration(node: FakeOllama, client: httpx.AsyncClient) -> None:
    cold, warm = await ask(client), await ask(client)

    assert cold["load_duration"] > 10**8 > warm["load_duration"] > 0


async def test_names_with_the_same_weights_share_what_is_loaded(
    node: FakeOllama, client: httpx.AsyncClient
) -> None:
    await ask(client)
    await ask(client, "smol-tools")

    assert node.loads == 1
    assert [row["name"] for row in await listed(client)] == ["smollm2:135m"]


async def test_a_loading_model_is_not_listed(client: httpx.AsyncClient, node: FakeOllama) -> None:
    node.shelf.load_seconds = 30
    loading = asyncio.create_task(ask(client))
    await until(lambda: node.open, 5)

    assert await listed(client) == []
    loading.cancel()


async def test_an_old_one_lists_it() -> None:
    with FakeOllama(version="0.24.0", load_seconds=30) as node:
        async with httpx.AsyncClient(base_url=node.url) as client:
            loading = asyncio.create_task(ask(client))
            await until(lambda: node.open, 5)

            assert [row["name"] for row in await listed(client)] == ["smollm2:135m"]
            loading.cancel()


async def held(node: FakeOllama, client: httpx.AsyncClient) -> asyncio.Task[Any]:
    """The only place is taken until this is cancelled."""
    await ask(client)
    node.faults = Faults(first_delay=30, times=1)
    holding = asyncio.create_task(ask(client))
    await until(lambda: node.state.running, 5)
    return holding


async def test_calls_are_answered_in_their_order(
    node: FakeOllama, client: httpx.AsyncClient
) -> None:
    holding = await held(node, client)
    waiting = []
    for number in range(2, 6):
        waiting.append(asyncio.create_task(ask(client)))
        await until(lambda: node.open == number, 5)  # noqa: B023 - awaited in this very turn

    holding.cancel()

    said_at = [(await one)["created_at"].rstrip("Z") for one in waiting]
    assert said_at == sorted(said_at)


async def test_the_time_in_the_line_is_in_the_total_alone(
    node: FakeOllama, client: httpx.AsyncClient
) -> None:
    holding = await held(node, client)
    waiting = asyncio.create_task(ask(client))
    await until(lambda: node.open == 2, 5)
    await asyncio.sleep(0.3)

    holding.cancel()

    told = await waiting
    parts = ("load_duration", "prompt_eval_duration", "eval_duration")
    assert told["total_duration"] - sum(told[part] for part in parts) > 10**8


@pytest.mark.parametrize("stream", [True, False])
async def test_a_hang_up_frees_the_place_at_once(
    node: FakeOllama, client: httpx.AsyncClient, stream: bool
) -> None:
    node.faults = Faults(token_delay=30, times=1)
    leaving = asyncio.create_task(ask(client, stream=stream))
    await until(lambda: node.state.running, 5)
    left_at = time.monotonic()

    leaving.cancel()

    assert (await ask(client))["done"]
    assert len(node.hang_ups) == 1
    assert time.monotonic() - left_at < 5


async def test_one_that_waits_for_a_load_gets_it_though_the_first_has_left(
    node: FakeOllama, client: httpx.AsyncClient
) -> None:
    node.shelf.load_seconds = 30
    first = asyncio.create_task(ask(client))
    await until(lambda: node.shelf.loading, 5)
    second = asyncio.create_task(ask(client))
    await until(lambda: node.shelf.waiting == 2, 5)
    node.shelf.load_seconds = 0.0

    first.cancel()

    assert (await second)["done"]
    assert node.loads == 1


async def test_too_many_that_wait_for_a_load_are_sent_away(
    client: httpx.AsyncClient, node: FakeOllama
) -> None:
    """Those for the loaded model are not."""
    await ask(client)
    node.shelf.load_seconds, node.shelf.max_queue = 30, 0
    body = {"model": "tiny-bert", "input": "x"}
    loading = asyncio.create_task(client.post("/api/embed", json=body))
    await until(lambda: node.shelf.waiting == 1, 5)

    refused = await client.post("/api/embed", json=body)

    assert refused.status_code == 503
    assert "  maximum pending requests exceeded" in refused.json()["error"]
    assert (await ask(client))["done"]
    loading.cancel()


async def test_for_ever_is_some_three_hundred_years_and_sticks(
    node: FakeOllama, client: httpx.AsyncClient
) -> None:
    await ask(client, keep_alive=-1)
    await ask(client)

    assert (await listed(client))[0]["expires_at"] > "2300"
    assert (await ask(client, keep_alive="300"))["error"].startswith("time: missing unit")


@pytest.mark.parametrize(("version", "evaluated"), [("0.32.15", 130), ("0.24.0", 256)])
async def test_a_long_prompt_is_cut_in_silence(version: str, evaluated: int) -> None:
    long = [{"role": "user", "content": "fox " * 1000}]
    with FakeOllama(version=version, context=256) as node:
        async with httpx.AsyncClient(base_url=node.url) as client:
            told = await ask(client, messages=long)

            assert told["prompt_eval_count"] == evaluated


async def test_a_killed_runner_ends_a_stream_without_an_end(
    node: FakeOllama, client: httpx.AsyncClient
) -> None:
    node.faults = Faults(error_after=2, times=1)

    *before, last = await lines(client)

    assert [line["done"] for line in before] == [False, False]
    assert last == {"error": "an error was encountered while running the model: unexpected EOF"}
    assert len(await listed(client)) == 1
    assert (await lines(client))[-1]["done"]
    assert node.loads == 2


async def test_a_killed_runner_is_not_told_to_an_openai_client(
    node: FakeOllama, client: httpx.AsyncClient
) -> None:
    node.faults = Faults(error_after=1)
    body = {"model": "smollm2:135m", "messages": HI, "stream": True}

    events = (await client.post("/v1/chat/completions", json=body)).text.split("\n\n")

    last = json.loads(events[-2].removeprefix("data: "))
    assert (last["model"], last["choices"][0]["finish_reason"]) == ("", None)


async def test_a_killed_runner_fails_a_plain_call(
    node: FakeOllama, client: httpx.AsyncClient
) -> None:
    node.faults = Faults(error_after=1)

    assert "unexpected EOF" in (await ask(client))["error"]


async def test_the_last_line_can_be_missing(node: FakeOllama, client: httpx.AsyncClient) -> None:
    node.faults = Faults(no_done=True)

    assert [line["done"] for line in await lines(client, "/api/generate")] == [False] * 3


@pytest.mark.parametrize("fault", [Faults(garbage_after=1), Faults(torn=True, die="after_tokens")])
async def test_a_line_can_be_no_json(
    node: FakeOllama, client: httpx.AsyncClient, fault: Faults
) -> None:
    node.faults = fault

    with pytest.raises((json.JSONDecodeError, httpx.RemoteProtocolError, httpx.ReadError)):
        await lines(client)


async def test_a_line_can_be_endless(node: FakeOllama, client: httpx.AsyncClient) -> None:
    node.faults = Faults(endless_after=1)
    body, got = {"model": "smollm2:135m", "messages": HI}, 0

    async with client.stream("POST", "/api/chat", json=body) as answer:
        async for piece in answer.aiter_raw():
            got += len(piece)
            if got > 2**20:
                break

    await until(lambda: node.open == 0, 5)
    assert len(node.hang_ups) == 1


async def test_a_stream_can_be_split_and_end_its_lines_with_crlf() -> None:
    with FakeOllama(tokens=["a\u2028b"]) as node:
        async with httpx.AsyncClient(base_url=node.url) as client:
            node.faults = Faults(split=3, crlf=True, bare=True)
            bare = await client.post("/api/chat", json={"model": "smollm2:135m", "messages": HI})
            node.heal()
            told = await client.post("/api/chat", json={"model": "smollm2:135m", "messages": HI})

    assert "a\u2028b" in bare.text
    assert bare.text.count("\r\n") == 2
    assert "a\\u2028b" in told.text


async def test_one_call_can_kill_an_old_server() -> None:
    with FakeOllama(version="0.24.0") as node:
        async with httpx.AsyncClient(base_url=node.url) as client:
            body = {"model": "smollm2:135m", "prompt": "hi", "context": [999_999_999]}
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await client.post("/api/generate", json=body)
            with pytest.raises(httpx.ConnectError):
                await client.get("/api/version")


async def test_a_server_can_lack_the_chat() -> None:
    with FakeOllama(without_chat=True) as node:
        async with httpx.AsyncClient(base_url=node.url) as client:
            answer = await client.post("/api/chat", json={"model": "x"})

            assert (answer.status_code, answer.text) == (404, "404 page not found")
            assert len(await lines(client, "/api/generate")) == 6


async def test_a_new_name_can_be_pulled() -> None:
    with FakeOllama(models=(), registry=[Model("new")]) as node:
        async with httpx.AsyncClient(base_url=node.url) as client:
            steps = await lines(client, "/api/pull", model="new")

            assert steps[-1] == {"status": "success"}
            assert [one["completed"] for one in steps if "total" in one][-1] == 98_362_745
            assert (await ask(client, "new"))["done"]


async def test_faults_can_be_set_over_the_wire(client: httpx.AsyncClient) -> None:
    await client.post("/fake/faults", json={"status": 503, "times": 1})

    assert (await client.post("/api/chat", json={})).status_code == 503
    assert (await client.get("/fake/state")).json()["loads"] == 0
    assert (await ask(client))["done"]
