"""Clients of both protocols through a whole router, in front of nodes of both."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.faults import Faults
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Running, running_router

HI = [{"role": "user", "content": "hi"}]
SAID = "Hello from the fake."


@pytest.fixture
def node() -> Iterator[FakeOllama]:
    with FakeOllama() as node:
        yield node


@pytest.fixture
async def router(node: FakeOllama, tmp_path: Path) -> AsyncIterator[Running]:
    nodes = {"a": {"url": node.url, "kind": "ollama"}}
    async with running_router(nodes, folder=tmp_path) as router:
        yield router


def text_of(answer: str) -> str:
    events = [line.removeprefix("data: ") for line in answer.split("\n") if line]
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    told = "".join(choice["delta"].get("content") or "" for choice in choices)
    return told + "".join(chunk.get("message", {}).get("content", "") for chunk in chunks)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
async def test_a_node_without_a_chat_is_asked_for_one_each_time(
    router: Running, node: FakeOllama, path: str
) -> None:
    """It may be updated at any time."""
    asked = {"model": "smollm2:135m", "messages": HI, "stream": True}
    async with router.client() as client:
        node.without_chat = True
        without = await client.post(path, json=asked)
        routes = [seen.route for seen in node.requests if seen.method == "POST"]
        node.without_chat = False
        having = await client.post(path, json=asked)

    assert routes == ["/api/chat", "/api/generate"]
    assert [seen.route for seen in node.requests if seen.method == "POST"][2:] == ["/api/chat"]
    assert text_of(without.text) == text_of(having.text) == SAID
    assert without.headers["x-dpl-attempts"] == "1"


async def test_a_model_that_one_node_lacks_is_looked_for_on_the_next(tmp_path: Path) -> None:
    """Ollama's 404 with JSON: not a missing path."""
    with FakeOllama() as first, FakeOllama() as second:
        first.faults = Faults(status=404, body='{"error":"model \'smollm2:135m\' not found"}')
        nodes = {
            "a": {"url": first.url, "kind": "ollama"},
            "b": {"url": second.url, "kind": "ollama"},
        }
        async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
            answers = [
                await client.post(
                    "/v1/chat/completions", json={"model": "smollm2:135m", "messages": HI}
                )
                for _ in range(4)
            ]

    assert {answer.status_code for answer in answers} == {200}
    assert "/api/generate" not in {seen.route for seen in first.requests}


async def test_clients_that_name_no_context_do_not_reload_the_model(
    node: FakeOllama, tmp_path: Path
) -> None:
    named = {"model": "smollm2:135m", "messages": HI, "options": {"num_ctx": 2048}}
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as neighbour:
        await neighbour.post("/api/chat", json=named)
    async with (
        running_router({"a": {"url": node.url, "kind": "auto"}}, folder=tmp_path) as router,
        router.client() as client,
    ):
        for path in ("/v1/chat/completions", "/api/chat"):
            answer = await client.post(path, json={"model": "smollm2:135m", "messages": HI})
            assert answer.status_code == 200

    assert [context for _, context in node.loaded] == [2048]


async def test_a_prompt_that_the_node_cut_is_told(node: FakeOllama, tmp_path: Path) -> None:
    long = {"role": "user", "content": "word " * 9000}
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as neighbour:
        await neighbour.post("/api/chat", json={"model": "smollm2:135m", "messages": HI})
    async with (
        running_router({"a": {"url": node.url, "kind": "ollama"}}, folder=tmp_path) as router,
        router.client() as client,
    ):
        asked = {"model": "smollm2:135m", "stream": False}
        cut = await client.post("/api/chat", json={**asked, "messages": [long]})
        whole = await client.post("/api/chat", json={**asked, "messages": HI})

    assert cut.headers.get("x-dpl-truncated")
    assert "x-dpl-truncated" not in whole.headers


async def test_an_ollama_client_is_served_by_an_openai_node(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=["Hello", " there."]) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                model = (await client.get("/api/tags")).json()["models"][0]["name"]
                asked: dict[str, Any] = {"model": model, "messages": HI}
                stream = await client.post("/api/chat", json=asked)
                plain = await client.post("/api/chat", json={**asked, "stream": False})

    assert stream.headers["content-type"].startswith("application/x-ndjson")
    assert text_of(stream.text) == "Hello there."
    assert json.loads(stream.text.split("\n")[-2])["done"] is True
    assert plain.json()["message"]["content"] == "Hello there."
    assert plain.json()["eval_count"] == 2


async def test_a_killed_runner_is_an_error_to_clients_of_both(
    router: Running, node: FakeOllama
) -> None:
    node.faults = Faults(error_after=2, token_delay=0.05)
    async with router.client() as client:
        asked = {"model": "smollm2:135m", "messages": HI, "stream": True}
        openai = (await client.post("/v1/chat/completions", json=asked)).text
        ollama = (await client.post("/api/chat", json=asked)).text

    assert "[DONE]" not in openai
    assert json.loads(openai.split("\n\n")[-2].removeprefix("data: "))["error"]["message"]
    assert json.loads(ollama.split("\n")[-2])["error"]
    assert '"done":true' not in ollama
