"""What goes wrong at a node is told truly in each protocol: a status before the first word, an
error event or line after it, never a clean end; and a client that leaves is heard at the node."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import Faults
from tests.fakes.router import Node, running_router, until
from tests.router.surfaces.calls import SMOL, TEXT_CALLS, Body, events, records, said_in

EACH_CALL = pytest.mark.parametrize(
    ("path", "body"), TEXT_CALLS, ids=[path for path, _ in TEXT_CALLS]
)
EACH_KIND = pytest.mark.parametrize("kind", ["openai", "ollama"])


def nodes_of(kind: str, **nodes: FakeOllama) -> dict[str, Node]:
    return {name: {"url": node.url, "kind": kind} for name, node in nodes.items()}


def told(text: str) -> list[Any]:
    """The events or records of a stream."""
    return records(text) if text.startswith("{") else events(text)


@EACH_CALL
@EACH_KIND
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "faults",
    [Faults(status=503), Faults(die="before_head")],
    ids=["503", "cut"],
)
async def test_before_the_first_word_another_node_answers(
    tmp_path: Path, path: str, body: Body, kind: str, stream: bool, faults: Faults
) -> None:
    with FakeOllama() as bad, FakeOllama() as good:
        async with running_router(nodes_of(kind, bad=bad, good=good), folder=tmp_path) as router:
            bad.faults, good.faults = faults, Faults(token_delay=0.02)
            async with router.client() as client:
                sent = {**body, "model": SMOL, "stream": stream}
                answers = await asyncio.gather(*(client.post(path, json=sent) for _ in range(4)))

    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.headers["x-dpl-node"] for answer in answers} == {"good"}


@EACH_CALL
@EACH_KIND
@pytest.mark.parametrize(
    "faults",
    [
        Faults(die="after_tokens", after=2, token_delay=0.05),
        Faults(die="after_tokens", after=2, token_delay=0.05, clean_cut=True),
        Faults(error_after=2, token_delay=0.05),
        Faults(no_done=True, die="after_tokens", after=2, token_delay=0.05, clean_cut=True),
    ],
    ids=["cut", "clean-cut", "error", "no-end"],
)
async def test_after_the_first_word_a_failure_is_the_last_thing_told(
    tmp_path: Path, path: str, body: Body, kind: str, faults: Faults
) -> None:
    """And nothing of another node is glued to it."""
    with FakeOllama() as one, FakeOllama() as two:
        async with running_router(nodes_of(kind, one=one, two=two), folder=tmp_path) as router:
            one.faults = two.faults = faults
            async with router.client() as client:
                answer = await client.post(path, json={**body, "model": SMOL, "stream": True})
        tries = len(one.chats) + len(two.chats)

    lines = told(answer.text)
    assert answer.status_code == 200
    assert "error" in lines[-1]
    assert "[DONE]" not in lines
    assert not any(isinstance(line, dict) and line.get("done") for line in lines)
    assert said_in(answer.text) == "Hello from"
    assert tries == 1
    if path.startswith("/api/"):
        assert list(lines[-1]) == ["error"]
        assert isinstance(lines[-1]["error"], str)
        assert answer.text.endswith("\n")


@EACH_CALL
@EACH_KIND
async def test_when_no_node_can_the_status_says_so(
    tmp_path: Path, path: str, body: Body, kind: str
) -> None:
    with FakeOllama() as one, FakeOllama() as two:
        async with running_router(nodes_of(kind, one=one, two=two), folder=tmp_path) as router:
            one.faults = two.faults = Faults(status=500)
            async with router.client() as client:
                answer = await client.post(path, json={**body, "model": SMOL})

    assert answer.status_code == 502
    assert answer.headers["x-should-retry"] == "false"
    assert "error" in answer.json()


@EACH_CALL
@EACH_KIND
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "slow", [Faults(head_delay=30), Faults(token_delay=0.5)], ids=["prefill", "decode"]
)
async def test_a_hang_up_reaches_the_node(
    tmp_path: Path, path: str, body: Body, kind: str, stream: bool, slow: Faults
) -> None:
    with FakeOllama(tokens=["word "] * 100) as node:
        async with running_router(nodes_of(kind, a=node), folder=tmp_path) as router:
            node.faults = slow
            async with router.client() as client:
                sent = {**body, "model": SMOL, "stream": stream}
                call = asyncio.create_task(client.post(path, json=sent))
                await until(lambda: node.open == 1)
                await asyncio.sleep(0.3)
                call.cancel()
                left = time.monotonic()
                await asyncio.gather(call, return_exceptions=True)
            await until(lambda: node.hang_ups, seconds=5)
            await until(lambda: router.parts.dispatcher.open_calls == 0)
            heard = node.hang_ups[0]

    assert heard - left < 2.0


@EACH_CALL
async def test_a_hang_up_in_the_queue_gives_the_place_in_it_back(
    tmp_path: Path, path: str, body: Body
) -> None:
    with FakeOllama(tokens=["word "] * 20) as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "kind": "ollama", "slots": 1}}
        async with running_router(nodes, folder=tmp_path) as router:
            node.faults = Faults(token_delay=0.05)
            async with router.client() as client:
                sent = {**body, "model": SMOL, "stream": False}
                first = asyncio.create_task(client.post(path, json=sent))
                await until(lambda: node.open == 1)
                waiting = asyncio.create_task(client.post(path, json=sent))
                await until(lambda: router.parts.dispatcher.open_calls == 2)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                await until(lambda: router.parts.dispatcher.open_calls == 1)
                answer = await first
        asked = len(node.chats)

    assert answer.status_code == 200
    assert asked == 1


async def test_a_load_is_let_go_of_when_its_client_leaves(tmp_path: Path) -> None:
    with FakeOllama() as node:
        async with running_router(nodes_of("ollama", a=node), folder=tmp_path) as router:
            node.faults = Faults(head_delay=30)
            async with router.client() as client:
                call = asyncio.create_task(client.post("/api/generate", json={"model": SMOL}))
                await until(lambda: node.open == 1)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            await until(lambda: node.hang_ups, seconds=5)


async def test_an_ollama_client_hears_no_heartbeat_and_an_openai_client_does(
    tmp_path: Path,
) -> None:
    """A real Ollama is silent too, and a comment is no line of JSON."""
    with FakeOllama() as node:
        async with running_router(
            nodes_of("ollama", a=node), folder=tmp_path, heartbeat=0.1
        ) as router:
            node.faults = Faults(head_delay=0.5)
            async with router.client() as client:
                heard = {
                    path: await client.post(path, json={**body, "model": SMOL, "stream": True})
                    for path, body in TEXT_CALLS
                }

    for path, answer in heard.items():
        pending = answer.headers["x-dpl-node"] == "pending"
        assert pending is path.startswith("/v1/")
        assert (": waiting for the node" in answer.text) is pending
        assert said_in(answer.text) == "Hello from the fake."


async def test_a_prompt_that_the_node_cut_is_told_and_counted(tmp_path: Path) -> None:
    long = "word " * 4000
    with FakeOllama(context=256) as node:
        async with running_router(nodes_of("ollama", a=node), folder=tmp_path) as router:
            async with router.client() as client:
                await client.post("/api/generate", json={"model": SMOL})
                message = {"model": SMOL, "messages": [{"role": "user", "content": long}]}
                plain = await client.post("/v1/chat/completions", json=message)
                stream = await client.post("/v1/chat/completions", json={**message, "stream": True})
                short = {"model": SMOL, "messages": [{"role": "user", "content": "word"}]}
                whole = await client.post("/v1/chat/completions", json=short)
                lines = await client.post("/api/chat", json={**message, "stream": False})
            counted = await router.metric('dpl_router_prompt_truncated_total{model="smollm2:135m"')

    assert plain.headers["x-dpl-truncated"] == "prompt"
    assert lines.headers["x-dpl-truncated"] == "prompt"
    assert ": truncated" in stream.text
    assert stream.text.rstrip().endswith("data: [DONE]")
    assert "x-dpl-truncated" not in whole.headers
    assert counted == 3
