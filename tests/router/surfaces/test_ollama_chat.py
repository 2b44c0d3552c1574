"""Ollama's own calls, at the wire: chat and generate, load and unload, embeddings, refusals."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dpl_router.surfaces.ollama_loading import means_unload
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, running_router
from tests.router.surfaces.calls import (
    OLLAMA_CHAT,
    OLLAMA_GENERATE,
    SAID,
    SAY,
    SMOL,
    Body,
    records,
    said_in,
)

BOTH = pytest.mark.parametrize(("path", "body"), [OLLAMA_CHAT, OLLAMA_GENERATE])


def fleet(ollama: FakeOllama, openai: FakeOpenAi) -> dict[str, Node]:
    return {
        "o": {"url": ollama.url, "kind": "ollama"},
        "a": {"url": openai.url, "kind": "openai"},
    }


@BOTH
@pytest.mark.parametrize("model", [SMOL, "tiny"])
async def test_an_answer_is_a_stream_of_lines_unless_asked_otherwise(
    tmp_path: Path, path: str, body: Body, model: str
) -> None:
    """Whichever protocol the node speaks."""
    with FakeOllama() as ollama, FakeOpenAi() as openai:
        async with running_router(fleet(ollama, openai), folder=tmp_path) as router:
            async with router.client() as client:
                stream = await client.post(path, json={**body, "model": model})
                null = await client.post(path, json={**body, "model": model, "stream": None})
                whole = await client.post(path, json={**body, "model": model, "stream": False})

    lines = records(stream.text)
    assert stream.headers["content-type"] == "application/x-ndjson"
    assert null.headers["content-type"] == "application/x-ndjson"
    assert stream.text.endswith("\n")
    assert said_in(stream.text) == SAID
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert {line["model"] for line in lines} == {model}
    assert all(datetime.fromisoformat(line["created_at"][:26]) for line in lines)
    assert lines[-1]["done_reason"] == "stop"
    for field in ("total_duration", "load_duration", "eval_duration", "eval_count"):
        assert isinstance(lines[-1][field], int)
    assert whole.headers["content-type"] == "application/json; charset=utf-8"
    assert not whole.text.endswith("\n")
    assert whole.json()["done"] is True
    assert said_in(whole.text) == SAID
    assert stream.headers["x-dpl-node"] == ("o" if model == SMOL else "a")


async def test_the_node_gets_an_ollama_clients_own_words(tmp_path: Path) -> None:
    sent = {
        "model": SMOL,
        "messages": SAY,
        "options": {"temperature": 0, "num_predict": 3, "mirostat": 1},
        "keep_alive": "7m",
        "think": False,
        "format": "json",
        "of_mine": {"deep": [1, 2]},
    }
    with FakeOllama() as node:
        async with running_router({"o": {"url": node.url, "kind": "ollama"}}, folder=tmp_path) as r:
            async with r.client() as client:
                await client.post("/api/chat", json=sent)
        seen = node.chats[0]

    assert seen.route == "/api/chat"
    assert {key: seen.json[key] for key in sent} == sent


@BOTH
async def test_nothing_to_say_loads_the_model_and_is_one_plain_object(
    tmp_path: Path, path: str, body: Body
) -> None:
    empty = {key: type(value)() for key, value in body.items()}
    with FakeOllama() as node:
        async with running_router({"o": {"url": node.url, "kind": "ollama"}}, folder=tmp_path) as r:
            async with r.client() as client:
                loaded = await client.post(path, json={"model": SMOL, **empty, "stream": True})
                there = (await client.get("/api/ps")).json()["models"]
                absent = await client.post(path, json={"model": SMOL})
                gone = await client.post(path, json={"model": SMOL, **empty, "keep_alive": 0})
                left = (await client.get("/api/ps")).json()["models"]
                unknown = await client.post(path, json={"model": "nope", **empty})
        loads = node.loads

    for answer, reason in ((loaded, "load"), (absent, "load"), (gone, "unload")):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        said = answer.json()
        assert (said["model"], said["done"], said["done_reason"]) == (SMOL, True, reason)
        assert said.get("response", "") == ""
        assert said.get("message", {"content": ""})["content"] == ""
    assert loaded.headers["x-dpl-node"] == "o"
    assert SMOL in [model["name"] for model in there]
    assert left == []
    assert loads == 1
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("keep_alive", "status"),
    [
        ("0s", 200),
        ("0", 200),
        (0.0, 200),
        ("-0m", 200),
        ("0h0m", 200),
        ("0ms0s", 200),
        ("0.1ns", 200),
        (".9s", 200),
        (1e-12, 200),
        (-1e-12, 200),
        ("abc", 400),
        ("", 400),
        ("5", 400),
        ("1m x", 400),
        ("\u0661s", 400),
    ],
)
async def test_no_time_to_keep_it_is_written_in_many_ways(
    tmp_path: Path, keep_alive: Any, status: int
) -> None:
    with FakeOllama() as node:
        async with running_router({"o": {"url": node.url, "kind": "ollama"}}, folder=tmp_path) as r:
            async with r.client() as client:
                body = {"model": SMOL, "keep_alive": keep_alive}
                answer = await client.post("/api/generate", json=body)

    assert answer.status_code == status
    assert answer.json().get("done_reason", "unload") == "unload"


async def test_embed_and_the_older_embeddings_answer_with_vectors(tmp_path: Path) -> None:
    with FakeOllama() as node:
        async with running_router({"o": {"url": node.url, "kind": "ollama"}}, folder=tmp_path) as r:
            async with r.client() as client:
                body = {"model": "tiny-bert", "input": ["one", "two"]}
                many = await client.post("/api/embed", json=body)
                old = await client.post(
                    "/api/embeddings", json={"model": "tiny-bert", "prompt": "one"}
                )

    assert many.json()["model"] == "tiny-bert"
    assert len(many.json()["embeddings"]) == 2
    assert many.headers["x-dpl-node"] == "o"
    assert len(old.json()["embedding"]) == 64


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/api/chat", b"", 400, "missing request body"),
        ("/api/chat", b'{"model": "x", ', 400, None),
        ("/api/chat", b"[]", 400, None),
        ("/api/chat", {"messages": SAY}, 400, "model is required"),
        ("/api/chat", {"model": SMOL, "messages": "hi"}, 400, None),
        ("/api/chat", {"model": SMOL, "messages": SAY, "stream": "yes"}, 400, None),
        ("/api/chat", {"model": SMOL, "messages": SAY * 4097}, 413, "more than 4096 messages"),
        ("/api/chat", {"model": "nope", "messages": SAY}, 404, "model 'nope' not found"),
        ("/api/generate", {"prompt": "hi"}, 404, "model '' not found"),
        ("/api/generate", {"model": "nope", "prompt": "x"}, 404, "model 'nope' not found"),
        ("/api/generate", {"model": "nope", "keep_alive": 0}, 404, "model 'nope' not found"),
        ("/api/embed", {"input": "x"}, 404, "model '' not found"),
        ("/api/embed", {"model": "q"}, 404, 'model "q" not found, try pulling it first'),
        ("/api/embeddings", {"prompt": "x"}, 400, "model is required"),
        ("/api/show", {}, 400, "model is required"),
        ("/api/show", b"", 400, "missing request body"),
        ("/api/show", {"model": "nope"}, 404, "model 'nope' not found"),
        ("/api/pull", {}, 400, "invalid model name"),
    ],
)
async def test_what_is_wrong_is_told_as_a_real_ollama_tells_it(
    tmp_path: Path, path: str, body: Any, status: int, told: str | None
) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    with FakeOllama() as node:
        async with running_router({"o": {"url": node.url, "kind": "ollama"}}, folder=tmp_path) as r:
            async with r.client() as client:
                answer = await client.post(path, content=sent)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert list(answer.json()) == ["error"]
    assert told is None or answer.json()["error"] == told
    assert node.chats == []


async def test_a_name_that_is_nearly_right_is_told_what_looks_like_it(tmp_path: Path) -> None:
    with FakeOllama() as node:
        async with running_router({"o": {"url": node.url, "kind": "ollama"}}, folder=tmp_path) as r:
            async with r.client() as client:
                answer = await client.post(
                    "/api/chat", json={"model": "smolm2:135m", "messages": SAY}
                )

    assert answer.json() == {"error": f"model 'smolm2:135m' not found; did you mean {SMOL}?"}


async def test_other_methods_and_compressed_bodies_are_refused_in_ollamas_envelope(
    tmp_path: Path,
) -> None:
    with FakeOllama() as node:
        async with running_router({"o": {"url": node.url, "kind": "ollama"}}, folder=tmp_path) as r:
            async with r.client() as client:
                got = await client.get("/api/chat")
                zipped = await client.post(
                    "/api/chat", content=b"x", headers={"content-encoding": "gzip"}
                )

    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    assert zipped.status_code == 415
    assert list(got.json()) == list(zipped.json()) == ["error"]


async def test_the_router_may_choose_the_model(tmp_path: Path) -> None:
    with FakeOpenAi(model="the-only-one") as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(
                    "/api/chat", json={"model": "auto", "messages": SAY, "stream": False}
                )

    assert said_in(answer.text) == SAID
    assert answer.json()["model"] == "the-only-one"


@pytest.mark.parametrize(
    "keep_alive",
    [None, 1, 1.5, -1, "1s", "1m0s", "1h30m", "+1.5h", "2000ms", "-1s", "5000000\u00b5s"],
)
def test_a_time_to_keep_it_loads(keep_alive: Any) -> None:
    assert not means_unload(keep_alive)
