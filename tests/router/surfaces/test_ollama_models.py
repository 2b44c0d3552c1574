"""Ollama's lists, probes, pulls and refusals, at the wire."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.ollama import FakeOllama, Model
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, running_router, until
from tests.router.surfaces.calls import SAY, SMOL, records
from tests.router.surfaces.test_roles import keys_file


def ollama(node: FakeOllama) -> Node:
    return {"url": node.url, "kind": "ollama"}


async def test_tags_lists_each_name_once_over_all_nodes(tmp_path: Path) -> None:
    with FakeOllama() as one, FakeOllama() as two, FakeOpenAi(model="tiny") as other:
        nodes: dict[str, Node] = {"one": ollama(one), "two": ollama(two), "other": other.url}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.get("/api/tags")
                listed = await client.get("/v1/models")
                real = {
                    m["name"]: m for m in (await client.get(one.url + "/api/tags")).json()["models"]
                }

    models = {model["name"]: model for model in answer.json()["models"]}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert len(models) == len(answer.json()["models"])
    assert {SMOL, "smol-tools:latest", "tiny"} <= models.keys()
    for field in ("model", "size", "digest", "modified_at", "details", "capabilities"):
        assert models[SMOL][field] == real[SMOL][field]
    assert models["tiny"]["size"] == 26060544
    assert models["tiny"]["details"]["parameter_size"] == "6.52M"
    assert len(models["tiny"]["digest"]) == 64
    came = datetime.fromisoformat(models["tiny"]["modified_at"])
    assert abs(datetime.now(UTC) - came) < timedelta(minutes=5), "when it was first seen"
    created = {model["id"]: model["created"] for model in listed.json()["data"]}
    assert created["tiny"] == came.timestamp()


async def test_ps_lists_what_is_loaded_and_where(tmp_path: Path) -> None:
    with FakeOllama() as node:
        async with running_router({"o": ollama(node)}, folder=tmp_path) as router:
            async with router.client() as client:
                empty = (await client.get("/api/ps")).json()
                await client.post("/api/generate", json={"model": SMOL})
                loaded = (await client.get("/api/ps")).json()["models"]
                real = (await client.get(node.url + "/api/ps")).json()["models"][0]

    mine = next(model for model in loaded if model["name"] == SMOL)
    assert empty == {"models": []}
    assert mine["nodes"] == ["o"]
    for field in ("model", "size", "digest", "size_vram", "context_length"):
        assert mine[field] == real[field]
    assert mine["expires_at"][:16] == real["expires_at"][:16]


async def test_clients_probe_for_a_server_before_they_start(tmp_path: Path) -> None:
    with FakeOllama() as node:
        async with running_router({"o": ollama(node)}, folder=tmp_path) as router:
            async with router.client() as client:
                heads = [await client.head(path) for path in ("/", "/api/tags", "/api/version")]
                root = await client.get("/")
                version = (await client.get("/api/version")).json()["version"]
                ps = await client.head("/api/ps")

    assert [(head.status_code, head.content) for head in heads] == [(200, b"")] * 3
    assert (root.text, root.headers["content-type"].split(";")[0]) == (
        "Ollama is running",
        "text/plain",
    )
    assert [int(part) for part in version.split(".")] >= [0, 6, 4]
    assert ps.status_code == 405


async def test_show_is_the_word_of_a_node_that_has_the_model(tmp_path: Path) -> None:
    with FakeOllama() as node:
        async with running_router({"o": ollama(node)}, folder=tmp_path) as router:
            async with router.client() as client:
                shown = await client.post("/api/show", json={"model": "SMOLLM2:135m"})
                by_name = await client.post("/api/show", json={"name": SMOL})
                real = await client.post(node.url + "/api/show", json={"model": SMOL})

    assert shown.json() == by_name.json() == real.json()
    assert shown.headers["x-dpl-node"] == "o"


async def test_show_of_another_server_is_made_of_what_it_lists(tmp_path: Path) -> None:
    with FakeOpenAi(model="tiny") as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                shown = await client.post("/api/show", json={"model": "tiny"})

    said = shown.json()
    assert shown.status_code == 200
    assert {"details", "model_info", "capabilities", "modelfile", "template"} <= said.keys()
    assert "completion" in said["capabilities"]


async def test_a_model_that_is_there_is_pulled_without_the_internet(tmp_path: Path) -> None:
    with FakeOllama(registry=None) as node:
        async with running_router({"o": ollama(node)}, folder=tmp_path) as router:
            async with router.client() as client:
                stream = await client.post("/api/pull", json={"model": SMOL})
                whole = await client.post("/api/pull", json={"name": SMOL, "stream": False})

    assert stream.headers["content-type"] == "application/x-ndjson"
    assert records(stream.text)[-1] == {"status": "success"}
    assert whole.json() == {"status": "success"}
    assert not [seen for seen in node.requests if seen.route == "/api/pull"]


async def test_a_pull_tells_its_progress_and_the_model_is_there_after_it(tmp_path: Path) -> None:
    with FakeOllama(registry=[Model("fresh")]) as node:
        async with running_router({"o": ollama(node)}, folder=tmp_path) as router:
            async with router.client() as client:
                stream = await client.post("/api/pull", json={"model": "fresh", "node": "o"})
                names = [m["name"] for m in (await client.get("/api/tags")).json()["models"]]

    lines = records(stream.text)
    assert lines[0]["status"] == "pulling manifest"
    assert any(line.get("total") for line in lines)
    assert lines[-1] == {"status": "success"}
    assert "fresh:latest" in names
    audit = [json.loads(line) for line in (tmp_path / "data/audit.jsonl").read_text().splitlines()]
    assert [(one["action"], one["object"], one["outcome"]) for one in audit] == [
        ("pull", "fresh", "success")
    ]


async def test_a_pull_that_fails_later_is_an_error_line_or_a_status(tmp_path: Path) -> None:
    with FakeOllama(registry=None) as node:
        async with running_router({"o": ollama(node)}, folder=tmp_path) as router:
            async with router.client() as client:
                stream = await client.post("/api/pull", json={"model": "elsewhere"})
                whole = await client.post("/api/pull", json={"model": "elsewhere", "stream": False})
                nowhere = await client.post("/api/pull", json={"model": "x", "node": "nope"})

    assert stream.status_code == 200
    assert list(records(stream.text)[-1]) == ["error"]
    assert whole.status_code >= 500
    assert (nowhere.status_code, list(nowhere.json())) == (404, ["error"])


async def test_a_pull_ends_when_its_client_leaves(tmp_path: Path) -> None:
    with FakeOllama(registry=[Model("slow")], step_seconds=0.2) as node:
        async with running_router({"o": ollama(node)}, folder=tmp_path) as router:
            async with router.client() as client:
                async with client.stream("POST", "/api/pull", json={"model": "slow"}) as answer:
                    async for _ in answer.aiter_raw():
                        break
            busy = node.connections
            await until(lambda: node.connections < busy or not node.connections)
            log = tmp_path / "data/audit.jsonl"
            await until(lambda: log.exists() and "the client left" in log.read_text())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/create"),
        ("POST", "/api/push"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/blobs/sha256:0"),
        ("HEAD", "/api/blobs/sha256:0"),
    ],
)
async def test_what_changes_a_node_for_all_is_refused_with_a_reason(
    tmp_path: Path, method: str, path: str
) -> None:
    with FakeOllama() as node:
        async with running_router({"o": ollama(node)}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.request(method, path, json={"model": SMOL})
        asked = {seen.route for seen in node.requests}

    assert answer.status_code == 403
    assert (
        method == "HEAD" or "the node itself" in answer.json()["error"] or "aliases" in answer.text
    )
    assert path not in asked


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat/completions", {"messages": SAY}),
        ("/api/chat", {"messages": []}),
        ("/api/generate", {}),
        ("/api/show", {}),
        ("/v1/chat/completions", {"messages": SAY}),
    ],
)
@pytest.mark.parametrize("allowed", [True, False])
async def test_whichever_call_names_a_model_that_no_node_has_it_is_pulled(
    tmp_path: Path, path: str, body: dict[str, Any], allowed: bool
) -> None:
    with FakeOllama(registry=[Model("fresh")]) as node:
        async with running_router(
            {"o": ollama(node)}, folder=tmp_path, router={"auto_pull": allowed}
        ) as router:
            async with router.client() as client:
                answer = await client.post(path, json={"model": "fresh", **body})

    assert answer.status_code == (200 if allowed else 404)
    assert [seen.route for seen in node.requests].count("/api/pull") == allowed


async def test_who_may_only_look_or_may_not_use_the_model_makes_no_node_pull_it(
    tmp_path: Path,
) -> None:
    file = keys_file(
        tmp_path / "keys.yaml",
        looks={"role": "viewer"},
        some={"role": "user", "models": ["other"]},
    )
    with FakeOllama(registry=[Model("fresh")]) as node:
        async with running_router(
            {"o": ollama(node)}, folder=tmp_path, router={"auto_pull": True}, keys_file=file
        ) as router:
            for key in ("looks", "some"):
                async with router.client(key) as client:
                    answer = await client.post("/api/show", json={"model": "fresh"})
                    assert answer.status_code == 404
            async with router.client("some") as client:
                answer = await client.post("/api/generate", json={"model": "x", "keep_alive": 0})
                assert answer.status_code == 403

    assert [seen for seen in node.requests if seen.route == "/api/pull"] == []


async def test_a_model_that_no_node_has_is_pulled_for_a_request_where_that_is_allowed(
    tmp_path: Path,
) -> None:
    with FakeOllama(registry=[Model("fresh")]) as node:
        async with running_router(
            {"o": ollama(node)}, folder=tmp_path, router={"auto_pull": True}
        ) as router:
            async with router.client() as client:
                answer = await client.post("/api/chat", json={"model": "fresh", "messages": SAY})
                gone = await client.post("/api/chat", json={"model": "never", "messages": SAY})

    assert records(answer.text)[-1]["done"] is True
    assert gone.status_code == 404
    assert gone.json()["error"].startswith("model 'never' not found")
