"""Models over HTTP: found under any spelling, loaded, let go of; on one node or the best."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.fakes.ollama import FakeOllama, Faults, Model
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, Running, running_router, until

DEAD = "http://127.0.0.1:9"
ASK = {"messages": [{"role": "user", "content": "hello"}]}


def ollama(node: FakeOllama, **fields: Any) -> Node:
    return {"url": node.url, "kind": "ollama", **fields}


@asynccontextmanager
async def asking(
    nodes: dict[str, Node], folder: Path, **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Running]]:
    async with running_router(nodes, folder=folder, **settings) as router:
        async with router.client() as client:
            yield client, router


async def chat(client: httpx.AsyncClient, model: str) -> httpx.Response:
    return await client.post("/v1/chat/completions", json={**ASK, "model": model})


def prompts(node: FakeOllama) -> list[dict[str, Any]]:
    """Bodies of the calls that make the model work, or only load."""
    return [json.loads(seen.body) for seen in node.chats]


# Names.


async def test_a_model_is_found_with_and_without_its_tag_and_in_any_case(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")]) as node:
        async with asking({"a": ollama(node)}, tmp_path) as (client, _):
            answers = [await chat(client, name) for name in ("tiny", "tiny:latest", "TINY")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json()["model"] for answer in answers] == ["tiny", "tiny:latest", "TINY"]
    assert {body["model"] for body in prompts(node)} == {"tiny:latest"}


async def test_an_alias_is_served_by_either_kind_of_node_under_its_own_name(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("qwen3:8b")]) as a, FakeOpenAi(model="Qwen3-8B.gguf") as b:
        nodes: dict[str, Node] = {
            "a": ollama(a),
            "b": {"url": b.url, "aliases": {"qwen3:8b": "Qwen3-8B.gguf"}},
        }
        async with asking(nodes, tmp_path) as (client, router):
            listed = (await client.get("/api/models")).json()
            b.faults = Faults(status=500)
            by_a = await chat(client, "qwen3:8b")
            a.kill()
            b.heal()
            by_b = await until(lambda: served_by(client, "qwen3:8b", "b"))
            b.faults = Faults(token_delay=0.02)
            body = {**ASK, "model": "qwen3:8b", "stream": True}
            streamed = await client.post("/v1/chat/completions", json=body)
            told = await router.metric(
                'dpl_router_upstream_output_tokens_total{model="Qwen3-8B.gguf",node="b"}'
            )

    assert [(model["name"], [n["node"] for n in model["nodes"]]) for model in listed] == [
        ("Qwen3-8B.gguf", ["b"]),
        ("qwen3:8b", ["a", "b"]),
    ]
    assert by_a.headers["x-dpl-node"] == "a"
    assert by_b.json()["model"] == "qwen3:8b"
    assert json.loads(b.chats[-1].body)["model"] == "Qwen3-8B.gguf"
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert told > 0


async def served_by(client: httpx.AsyncClient, model: str, node: str) -> httpx.Response | None:
    answer = await chat(client, model)
    return answer if answer.headers.get("x-dpl-node") == node else None


async def test_an_unknown_model_is_told_with_the_names_that_look_like_it(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("qwen3:8b"), Model("gemma3")]) as node:
        async with asking({"a": ollama(node)}, tmp_path) as (client, _):
            answer = await chat(client, "qwen3:14b")
            started = await client.post("/api/models/start/qwen3:14b")
            missing = await client.post("/api/models/start/qwen3:8b", params={"node": "b"})

    assert answer.status_code == started.status_code == missing.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert "did you mean qwen3:8b?" in answer.json()["error"]["message"]
    assert "did you mean qwen3:8b?" in started.json()["detail"]
    assert "there is no node 'b'" in missing.json()["detail"]


async def test_of_a_long_name_only_the_start_is_told(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")]) as node:
        async with asking({"a": ollama(node)}, tmp_path) as (client, _):
            asked = {"model": "x" * 1_000_000}
            answers = [
                await chat(client, asked["model"]),
                await client.post("/api/chat", json={**asked, "messages": ASK["messages"]}),
                await client.post("/api/generate", json=asked),
                await client.post("/api/show", json=asked),
                await client.post("/api/embed", json={**asked, "input": "x"}),
            ]

    for answer in answers:
        assert answer.status_code == 404
        assert "x" * 100 in answer.text
        assert len(answer.text) < 500


async def test_a_cloud_model_is_no_local_capacity_unless_it_is_admitted(tmp_path: Path) -> None:
    for admitted, names in ((False, ["tiny:latest"]), (True, ["big:120b-cloud", "tiny:latest"])):
        folder = tmp_path / str(admitted)
        folder.mkdir()
        with FakeOllama(models=[Model("tiny"), Model("big:120b-cloud")]) as node:
            nodes: dict[str, Node] = {"a": ollama(node, remote_models=admitted)}
            async with asking(nodes, folder) as (client, _):
                listed = (await client.get("/api/models")).json()
                answer = await chat(client, "big:120b-cloud")

        assert [model["name"] for model in listed] == names
        assert (answer.status_code == 404) is not admitted


# Contexts and reloads.


async def test_the_operators_context_is_what_a_model_is_loaded_with(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")]) as node:
        router = {"contexts": {"tiny": 2048}}
        async with asking({"a": ollama(node)}, tmp_path, router=router) as (client, running):
            await chat(client, "tiny")
            first = list(node.loaded)
            await until(lambda: shown_context(client, 2048))
            await chat(client, "tiny")
            await client.post("/api/models/start/tiny")
            told = await running.metric('dpl_router_model_reloads_total{cause="cold",node="a"}')

    assert first == node.loaded == [("tiny:latest", 2048)]
    assert told == 1


async def shown_context(client: httpx.AsyncClient, tokens: int) -> bool:
    (model,) = (await client.get("/api/models")).json()
    return bool(model["nodes"][0]["context"] == tokens)


# Load and unload.


async def test_a_model_is_loaded_on_the_node_that_was_named_and_let_go_of(tmp_path: Path) -> None:
    with (
        FakeOllama(models=[Model("org/tiny:1b")]) as a,
        FakeOllama(models=[Model("org/tiny:1b")]) as b,
    ):
        async with asking({"a": ollama(a), "b": ollama(b)}, tmp_path) as (client, _):
            loaded = await client.post("/api/models/start/org/tiny:1b", params={"node": "b"})
            (model,) = (await client.get("/api/models")).json()
            again = await client.post("/api/models/start/org/tiny:1b")
            unloaded = await client.post("/api/models/unload/org/tiny:1b")
            (after,) = (await client.get("/api/models")).json()
            nothing = await client.post("/api/models/unload/org/tiny:1b")
            audit = (tmp_path / "data" / "audit.jsonl").read_text().splitlines()

    assert (loaded.status_code, loaded.json()["node"], loaded.json()["model"]) == (
        200,
        "b",
        "org/tiny:1b",
    )
    assert {each["node"]: each["loaded"] for each in model["nodes"]} == {"a": False, "b": True}
    assert again.json()["node"] == "b", "it is cheapest where it is loaded"
    assert [json.loads(seen.body).get("prompt") for seen in b.chats] == [None, None, None]
    assert unloaded.json() == {"model": "org/tiny:1b", "nodes": ["b"], "kept": []}
    assert after["loaded"] is False
    assert nothing.json()["nodes"] == []
    assert a.loads == 0
    assert [json.loads(line)["action"] for line in audit] == ["load", "load", "unload", "unload"]


async def test_a_loaded_model_is_asked_again_and_never_loaded_anew(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")]) as node:
        async with asking({"a": ollama(node)}, tmp_path) as (client, _):
            body = {**ASK, "model": "tiny", "options": {"num_ctx": 1024}, "stream": False}
            await client.post(f"{node.url}/api/chat", json=body)
            await until(lambda: shown_context(client, 1024))
            await client.post("/api/models/start/tiny")

    assert node.loaded == [("tiny:latest", 1024)]
    assert len(node.chats) == 2


async def test_who_wait_for_one_load_share_it(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")], load_seconds=0.5) as node:
        async with asking({"a": ollama(node)}, tmp_path) as (client, _):
            answers = await asyncio.gather(
                *(client.post("/api/models/start/tiny") for _ in range(5))
            )

    assert {answer.status_code for answer in answers} == {200}
    assert node.loads == 1
    assert len(node.chats) == 1


async def test_a_load_is_seen_as_work_of_the_node_meanwhile(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")], load_seconds=0.5) as node:
        async with asking({"a": ollama(node)}, tmp_path) as (client, _):
            loading = asyncio.ensure_future(client.post("/api/models/start/tiny"))
            await until(lambda: node.open)
            (during,) = (await client.get("/api/status/all")).json()
            await loading
            (after,) = (await client.get("/api/status/all")).json()

    assert (during["in_flight"], during["locked"]) == (1, True)
    assert (after["in_flight"], after["models"][0]["loaded"]) == (0, True)


async def test_a_load_that_fails_is_tried_on_the_next_best_node(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")]) as a, FakeOllama(models=[Model("tiny")]) as b:
        a.faults = b.faults = Faults(status=500, body='{"error":"model failed to load"}', times=1)
        async with asking({"a": ollama(a), "b": ollama(b)}, tmp_path) as (client, _):
            b.heal()
            a.faults = Faults(status=500, body='{"error":"model failed to load"}')
            answer = await client.post("/api/models/start/tiny")
            named = await client.post("/api/models/start/tiny", params={"node": "a"})

    assert answer.json()["node"] == "b"
    assert named.status_code == 502
    assert "model failed to load" in named.json()["detail"]


async def test_a_model_that_only_embeds_is_loaded_as_well(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("bert", ("embedding",))]) as node:
        async with asking({"a": ollama(node)}, tmp_path) as (client, _):
            answer = await client.post("/api/models/start/bert")
            (model,) = (await client.get("/api/models")).json()

    assert answer.status_code == 200
    assert model["loaded"] is True


async def test_a_server_that_keeps_what_it_was_started_with_is_said_to(tmp_path: Path) -> None:
    with FakeOpenAi(model="tiny") as node:
        async with asking({"a": node.url}, tmp_path) as (client, _):
            loaded = await client.post("/api/models/start/tiny")
            unloaded = await client.post("/api/models/unload/tiny")
            nowhere = await client.post("/api/models/unload/nobody")

    assert (loaded.status_code, loaded.json()["node"]) == (200, "a")
    assert node.chats == []
    assert unloaded.status_code == 409
    assert "stop the server there" in unloaded.json()["detail"]
    assert nowhere.status_code == 404


async def test_who_keeps_a_model_when_others_let_go_of_it_is_named(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")]) as able, FakeOpenAi(model="tiny") as keeps:
        nodes: dict[str, Node] = {"able": ollama(able), "keeps": keeps.url}
        async with asking(nodes, tmp_path) as (client, _):
            await client.post("/api/models/start/tiny", params={"node": "able"})
            some = await client.post("/api/models/unload/tiny")
            none = await client.post("/api/models/unload/tiny")
            there = await client.post("/api/models/unload/tiny", params={"node": "able"})

    assert some.json() == {"model": "tiny", "nodes": ["able"], "kept": ["keeps"]}
    assert none.status_code == 409
    assert "keeps cannot unload 'tiny'" in none.json()["detail"]
    assert (there.status_code, there.json()["nodes"], there.json()["kept"]) == (200, [], [])


async def test_only_an_operator_loads_and_unloads(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    rows = [
        {"name": role, "role": role, "sha256": hashlib.sha256(role.encode()).hexdigest()}
        for role in ("viewer", "user", "operator")
    ]
    keys.write_text(yaml.safe_dump({"keys": rows}))
    async with running_router({"a": DEAD}, folder=tmp_path, keys_file=keys) as router:
        statuses = {}
        for key in ("viewer", "user", "operator"):
            async with router.client(key) as client:
                answers = [
                    await client.post(f"/api/models/{verb}/nobody") for verb in ("start", "unload")
                ]
            statuses[key] = {answer.status_code for answer in answers}

    assert statuses == {"viewer": {403}, "user": {403}, "operator": {404}}


async def test_an_operators_key_for_some_models_starts_and_unloads_no_others(
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys.yaml"
    sha256 = hashlib.sha256(b"some").hexdigest()
    row = {"name": "some", "role": "operator", "sha256": sha256, "models": ["good"]}
    keys.write_text(yaml.safe_dump({"keys": [row]}))
    with FakeOllama(models=[Model("good"), Model("bad")]) as node:
        async with running_router({"a": ollama(node)}, folder=tmp_path, keys_file=keys) as router:
            async with router.client("some") as client:
                statuses = {
                    (verb, name): (await client.post(f"/api/models/{verb}/{name}")).status_code
                    for verb in ("start", "unload")
                    for name in ("good", "Good:latest", "bad", "BAD:latest")
                }

    assert statuses == {
        (verb, name): 200 if "good" in name.lower() else 403 for verb, name in statuses
    }
    assert node.loads == 1


async def test_the_last_who_waits_stops_a_load_by_leaving(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")], load_seconds=5.0) as node:
        async with asking({"a": ollama(node)}, tmp_path) as (client, router):
            models = router.parts.litestar.state.models
            both = [asyncio.ensure_future(models.load("tiny")) for _ in range(2)]
            await until(lambda: node.open)
            both[0].cancel()
            await asyncio.sleep(0.1)
            still = node.open
            both[1].cancel()
            await until(lambda: not node.open)
            (after,) = (await client.get("/api/status/all")).json()

    assert still == 1
    assert after["in_flight"] == 0
    assert node.hang_ups
