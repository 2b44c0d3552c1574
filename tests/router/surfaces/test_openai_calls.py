"""Completions, embeddings and the list of models under /v1, at the wire."""

import base64
import json
import struct
from pathlib import Path

import pytest

from dpl_router.errors import BadRequest
from dpl_router.surfaces.openai_calls import decode_embedding
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, running_router
from tests.router.surfaces.calls import SAID, SMOL, TEXT_CALLS, Body, events, said_in

PATH = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"


def node_of(node: FakeOllama, kind: str) -> dict[str, Node]:
    """A fake Ollama answers as an OpenAI-like server too."""
    return {"a": {"url": node.url, "kind": kind}}


@pytest.mark.parametrize("kind", ["openai", "ollama"])
async def test_a_completion_is_answered_whole_and_as_a_stream(tmp_path: Path, kind: str) -> None:
    with FakeOllama() as node:
        async with running_router(node_of(node, kind), folder=tmp_path) as router:
            async with router.client() as client:
                body = {"model": SMOL, "prompt": "hello"}
                whole = await client.post(PATH, json=body)
                stream = await client.post(PATH, json={**body, "stream": True})

    said = whole.json()
    assert said["object"] == "text_completion"
    assert said["choices"][0]["text"] == SAID
    assert said["model"] == SMOL
    assert whole.headers["x-dpl-node"] == "a"
    chunks = events(stream.text)
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert said_in(stream.text) == SAID
    assert chunks[-1] == "[DONE]"
    assert not any(chunk.get("usage") for chunk in chunks[:-1])
    finishes = [one["finish_reason"] for chunk in chunks[:-1] for one in chunk["choices"]]
    assert [finish for finish in finishes if finish] == ["stop"]


@pytest.mark.parametrize("kind", ["openai", "ollama"])
async def test_embeddings_keep_the_order_of_their_inputs(tmp_path: Path, kind: str) -> None:
    with FakeOllama() as node:
        async with running_router(node_of(node, kind), folder=tmp_path) as router:
            async with router.client() as client:
                body = {"model": "tiny-bert", "input": ["one", "two", "three"]}
                together = (await client.post(EMBEDDINGS, json=body)).json()
                alone = [
                    (await client.post(EMBEDDINGS, json={**body, "input": text})).json()
                    for text in body["input"]
                ]

    assert together["object"] == "list"
    assert together["model"] == "tiny-bert"
    assert [one["index"] for one in together["data"]] == [0, 1, 2]
    assert [one["embedding"] for one in together["data"]] == [
        one["data"][0]["embedding"] for one in alone
    ]


async def test_embeddings_in_base64_are_the_same_floats(tmp_path: Path) -> None:
    with FakeOllama() as node:
        async with running_router(node_of(node, "ollama"), folder=tmp_path) as router:
            async with router.client() as client:
                body = {"model": "tiny-bert", "input": "one"}
                floats = (await client.post(EMBEDDINGS, json=body)).json()
                packed = await client.post(EMBEDDINGS, json={**body, "encoding_format": "base64"})

    raw = base64.b64decode(packed.json()["data"][0]["embedding"])
    vector = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    assert vector == pytest.approx(floats["data"][0]["embedding"], rel=1e-6)


@pytest.mark.parametrize(
    ("path", "sent", "param"),
    [
        (EMBEDDINGS, {"model": "tiny-bert"}, "input"),
        (EMBEDDINGS, {"model": "tiny-bert", "input": []}, "input"),
        (EMBEDDINGS, {"model": "tiny-bert", "input": "x", "encoding_format": "hex"}, None),
        (PATH, {"model": 7, "prompt": "x"}, "model"),
        (PATH, {"model": SMOL, "stream": "yes"}, "stream"),
    ],
)
async def test_a_bad_body_is_a_400_that_names_the_place(
    tmp_path: Path, path: str, sent: object, param: str | None
) -> None:
    with FakeOllama() as node:
        async with running_router(node_of(node, "ollama"), folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(path, json=sent)

    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert param is None or answer.json()["error"]["param"] == param
    assert node.chats == []


@pytest.mark.parametrize(
    ("path", "body"),
    [(EMBEDDINGS, {"input": "x"}), ("/api/embed", {"input": "x"})],
)
async def test_a_call_that_no_server_of_the_model_knows_is_no_fault_of_a_node(
    tmp_path: Path, path: str, body: Body
) -> None:
    """A model that only writes: its server says 501, and trying again would not help."""
    with FakeOllama() as node:
        async with running_router(node_of(node, "ollama"), folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(path, json={**body, "model": SMOL})

    assert answer.status_code == 400
    assert "does not support embeddings" in answer.text


async def test_an_unknown_model_is_a_404_that_names_what_looks_like_it(tmp_path: Path) -> None:
    with FakeOllama() as node:
        async with running_router(node_of(node, "ollama"), folder=tmp_path) as router:
            async with router.client() as client:
                asked = await client.post(PATH, json={"model": "smolm2:135m", "prompt": "x"})
                looked = await client.get("/v1/models/smolm2:135m")

    for answer in (asked, looked):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found"
        assert SMOL in answer.json()["error"]["message"]


async def test_models_are_listed_over_all_nodes_with_the_time_they_came(tmp_path: Path) -> None:
    with FakeOllama() as ollama, FakeOpenAi(model="org/tiny") as other:
        nodes: dict[str, Node] = {**node_of(ollama, "ollama"), "b": other.url}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                listed = (await client.get("/v1/models")).json()
                one = await client.get("/v1/models/org/tiny")
                capitals = await client.get("/v1/models/SmolLM2:135m")
                bare = await client.get("/v1/models/smol-tools")

    models = {model["id"]: model for model in listed["data"]}
    assert {SMOL, "org/tiny", "smol-tools:latest"} <= models.keys()
    assert models[SMOL]["created"] == 1_795_630_676
    assert models["org/tiny"]["created"] >= 0
    assert all(model["object"] == "model" for model in models.values())
    assert one.json()["id"] == "org/tiny"
    assert capitals.json()["id"] == "SmolLM2:135m"
    assert bare.status_code == 200


@pytest.mark.parametrize("empty", ["[]", "[ ]", "[\n\t]", '""', "null"])
def test_nothing_to_embed_is_refused_however_it_is_written(empty: str) -> None:
    body = f'{{"model": "m", "input": {empty} }}'.encode()

    with pytest.raises(BadRequest) as caught:
        decode_embedding(body, "r1")

    assert caught.value.param == "input"


@pytest.mark.parametrize("kind", ["openai", "ollama"])
@pytest.mark.parametrize(("path", "body"), TEXT_CALLS)
async def test_half_an_emoji_is_told_to_the_node_as_a_replacement(
    tmp_path: Path, kind: str, path: str, body: Body
) -> None:
    """Clients that cut a text in two send it."""
    sent = json.dumps({**body, "model": SMOL}).replace("hello", "cut \\ud83d").encode()
    with FakeOllama() as node:
        async with running_router(node_of(node, kind), folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(path, content=sent)

    assert b"\\ud83d" in sent
    assert answer.status_code == 200
    assert answer.headers["x-dpl-node"] == "a"
    assert "cut \ufffd" in str(json.loads(node.chats[-1].body))
