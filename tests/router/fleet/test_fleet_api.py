"""What people and their tools read of the fleet: at once, whatever is dead."""

import re
import time
from pathlib import Path
from typing import Any

from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import Node, running_router, until, write_nodes

BODY = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
DEAD = "http://127.0.0.1:9"


async def test_the_status_answers_at_once_with_every_node_dead(tmp_path: Path) -> None:
    nodes: dict[str, Node] = {f"n{i}": {"url": DEAD, "exporter": DEAD} for i in range(20)}
    async with running_router(nodes, folder=tmp_path) as router:
        async with router.client() as client:
            await client.get("/api/status/all")
            started = time.monotonic()
            answer = await client.get("/api/status/all")
            took = time.monotonic() - started

    assert [node["name"] for node in answer.json()] == list(nodes)
    assert {node["state"] for node in answer.json()} == {"offline"}
    assert "offline: " in answer.json()[0]["reason"]
    assert took < 0.25


async def test_a_node_with_work_is_locked_at_once_and_busy_when_full(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=["word "] * 40) as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "slots": 1}}
        async with running_router(nodes, folder=tmp_path) as router:
            node.faults = Faults(token_delay=0.05)
            async with (
                router.client() as client,
                client.stream(
                    "POST", "/v1/chat/completions", json={**BODY, "stream": True}
                ) as answer,
            ):
                pieces = answer.aiter_raw()
                await anext(pieces)
                status = (await client.get("/api/status/all")).json()[0]
                overview = (await client.get("/api/cluster/overview")).json()

    assert status["locked"] is True
    assert status["in_flight"] == 1
    assert status["reason"] == "busy, 1 of 1 places taken"
    assert overview["in_flight"] == 1


async def test_a_node_that_asked_to_be_left_alone_is_said_to(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                node.faults = Faults(status=429, retry_after="1e9", times=1)
                await client.post("/v1/chat/completions", json=BODY)
                after = await client.post("/v1/chat/completions", json=BODY)
                (status,) = (await client.get("/api/status/all")).json()

    assert after.status_code == 429
    assert after.headers["retry-after"] == "60"
    assert "asked to be left alone" in after.json()["error"]["message"]
    assert "try again in 60 s" in after.json()["error"]["message"]
    assert "queue" not in after.json()["error"]["message"]
    assert status["state"] == "busy"
    assert re.fullmatch(r"busy: it asked to be left alone for (300|29\d) s more", status["reason"])


async def test_models_are_merged_over_nodes_and_filtered_by_nodes_yaml(tmp_path: Path) -> None:
    with FakeOpenAi(model="org/big:7b") as a, FakeOpenAi(model="org/big:7b") as b:
        nodes: dict[str, Node] = {"a": a.url, "b": b.url, "c": {"url": b.url, "models": ["no*"]}}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                models = (await client.get("/api/models")).json()
                listed = (await client.get("/v1/models")).json()
                one = (await client.get("/v1/models/org/big:7b")).json()
                none = await client.get("/v1/models/org/bigg:7b")

    assert [model["name"] for model in models] == ["org/big:7b"]
    assert [node["node"] for node in models[0]["nodes"]] == ["a", "b"]
    assert [model["id"] for model in listed["data"]] == ["org/big:7b"]
    assert one["id"] == "org/big:7b"
    assert none.status_code == 404
    assert "did you mean org/big:7b" in none.json()["error"]["message"]


async def test_alerts_say_why_there_are_none_to_be_had(tmp_path: Path) -> None:
    async with running_router({"a": DEAD}, folder=tmp_path) as router:
        async with router.client() as client:
            nowhere = await client.get("/api/alerts")
    async with running_router({"a": DEAD}, folder=tmp_path, alertmanager_url=DEAD) as router:
        async with router.client() as client:
            dead = await client.get("/api/alerts")

    assert nowhere.status_code == 503
    assert "--alertmanager-url" in nowhere.json()["detail"]
    assert dead.status_code == 503
    assert "cannot be reached" in dead.json()["detail"]


async def test_a_changed_nodes_file_is_applied_and_a_bad_one_keeps_the_old(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with running_router({"a": a.url}, folder=tmp_path) as router:
            async with router.client() as client:

                async def names() -> list[Any]:
                    return [n["name"] for n in (await client.get("/api/status/all")).json()]

                write_nodes(router.nodes_file, {"a": a.url, "b": b.url}, {})

                async def both() -> bool:
                    return await names() == ["a", "b"]

                await until(both, seconds=5)
                write_nodes(router.nodes_file, {"b": b.url}, {})

                async def only_b() -> bool:
                    return await names() == ["b"]

                await until(only_b, seconds=5)
                answer = await client.post("/v1/chat/completions", json=BODY)
                router.nodes_file.write_text("version: 1\nnodes: []\n")
                await until(lambda: _refused(router), seconds=10)
                kept = await names()

    assert answer.headers["x-dpl-node"] == "b"
    assert kept == ["b"]


async def _refused(router: Any) -> bool:
    return bool(await router.metric("dpl_router_config_last_reload_successful") == 0)


async def test_a_removed_node_ends_its_answers_first(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=["word "] * 20) as a, FakeOpenAi() as b:
        async with running_router({"a": a.url}, folder=tmp_path) as router:
            a.faults = Faults(token_delay=0.1)
            async with (
                router.client() as client,
                client.stream(
                    "POST", "/v1/chat/completions", json={**BODY, "stream": True}
                ) as answer,
            ):
                pieces = answer.aiter_text()
                text = await anext(pieces)
                write_nodes(router.nodes_file, {"b": b.url}, {})
                async for piece in pieces:
                    text += piece

    assert text.endswith("data: [DONE]\n\n")
