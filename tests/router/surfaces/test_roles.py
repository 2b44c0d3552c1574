"""Who may do what on the surfaces, and how a key is sent."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.ollama import FakeOllama
from tests.fakes.passing import Said, passing
from tests.fakes.router import Node, running_router
from tests.router.surfaces.calls import SAY, SMOL


def keys_file(path: Path, **keys: dict[str, Any]) -> Path:
    """keys.yaml where each key is its own name."""
    listed = [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), **fields}
        for name, fields in keys.items()
    ]
    path.write_text(yaml.safe_dump({"keys": listed}))
    return path


def roles(path: Path) -> Path:
    return keys_file(path, **{role: {"role": role} for role in ("viewer", "user", "operator")})


@pytest.mark.parametrize(
    ("method", "path", "body", "least"),
    [
        ("GET", "/api/tags", None, "viewer"),
        ("GET", "/api/ps", None, "viewer"),
        ("GET", "/api/version", None, "viewer"),
        ("POST", "/api/show", {"model": SMOL}, "viewer"),
        ("POST", "/api/chat", {"model": SMOL, "messages": SAY}, "user"),
        ("POST", "/api/generate", {"model": SMOL}, "user"),
        ("POST", "/api/embed", {"model": "tiny-bert", "input": "x"}, "user"),
        ("POST", "/v1/completions", {"model": SMOL, "prompt": "x"}, "user"),
        ("POST", "/v1/embeddings", {"model": "tiny-bert", "input": "x"}, "user"),
        ("POST", "/api/generate", {"model": SMOL, "keep_alive": 0}, "operator"),
        ("POST", "/api/generate", {"model": SMOL, "keep_alive": "0h0m"}, "operator"),
        ("POST", "/api/chat", {"model": SMOL, "keep_alive": "0.1ns"}, "operator"),
        ("POST", "/api/embed", {"model": "tiny-bert", "keep_alive": 0}, "operator"),
        ("POST", "/api/embed", {"model": "tiny-bert", "input": [], "keep_alive": 0}, "operator"),
        ("POST", "/api/embed", {"model": "tiny-bert", "input": "", "keep_alive": 0}, "operator"),
        ("POST", "/api/embed", {"model": "tiny-bert", "input": "x", "keep_alive": 0}, "user"),
        ("POST", "/api/embed", {"model": "tiny-bert", "input": []}, "user"),
        ("POST", "/api/embeddings", {"model": "tiny-bert", "keep_alive": 0}, "operator"),
        ("POST", "/api/pull", {"model": SMOL}, "operator"),
    ],
)
async def test_each_call_wants_its_role(
    tmp_path: Path, method: str, path: str, body: Any, least: str
) -> None:
    order = ["viewer", "user", "operator"]
    file = roles(tmp_path / "keys.yaml")
    with FakeOllama() as node:
        nodes: dict[str, Node] = {"o": {"url": node.url, "kind": "ollama"}}
        async with running_router(nodes, folder=tmp_path, keys_file=file) as router:
            answers = {}
            for key in ("wrong", *order):
                async with router.client(key) as client:
                    answers[key] = await client.request(method, path, json=body)

    assert answers["wrong"].status_code == 401
    for role in order:
        allowed = order.index(role) >= order.index(least)
        assert answers[role].status_code == (200 if allowed else 403), answers[role].text


async def test_a_key_may_come_as_anthropics_clients_send_it_and_only_there(
    tmp_path: Path,
) -> None:
    file = roles(tmp_path / "keys.yaml")
    said = Said(b'{"input_tokens": 3}')
    answers = {"/v1/messages": said, "/v1/messages/count_tokens": said, "/v1/rerank": said}
    async with passing(answers) as node:
        async with running_router({"a": node.url}, folder=tmp_path, keys_file=file) as router:
            async with router.client() as client:
                client.headers["x-api-key"] = "user"
                statuses = {
                    path: (await client.post(path, json={"model": "any"})).status_code
                    for path in answers
                }
                wrong = await client.post(
                    "/v1/messages", json={"model": "any"}, headers={"x-api-key": "nope"}
                )

    assert statuses == {"/v1/messages": 200, "/v1/messages/count_tokens": 200, "/v1/rerank": 401}
    assert wrong.status_code == 401
    assert wrong.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/api/chat", b'{"model": "mine", "messages": [{"role": "user"}]}', 404),
        ("/api/chat", b'{"model": "theirs", "messages": [{"role": "user"}]}', 403),
        ("/api/generate", b'{"model": "mine", "Model": "theirs", "prompt": "x"}', 400),
        ("/v1/rerank", b'{"model": "theirs"}', 403),
        ("/v1/embeddings", b'{"model": "theirs", "input": "x"}', 403),
        ("/api/generate", b'{"model": "theirs"}', 403),
    ],
)
async def test_a_key_for_some_models_is_for_no_others_on_any_surface(
    tmp_path: Path, path: str, sent: bytes, status: int
) -> None:
    file = keys_file(tmp_path / "keys.yaml", some={"role": "user", "models": ["mine*"]})
    with FakeOllama() as node:
        nodes: dict[str, Node] = {"o": {"url": node.url, "kind": "ollama"}}
        async with running_router(nodes, folder=tmp_path, keys_file=file) as router:
            async with router.client("some") as client:
                answer = await client.post(path, content=sent)

    assert answer.status_code == status


async def test_a_key_for_a_model_is_for_each_of_its_spellings(tmp_path: Path) -> None:
    file = keys_file(tmp_path / "keys.yaml", some={"role": "user", "models": ["smol-tools:latest"]})
    with FakeOllama() as node:
        nodes: dict[str, Node] = {"o": {"url": node.url, "kind": "ollama"}}
        async with running_router(nodes, folder=tmp_path, keys_file=file) as router:
            async with router.client("some") as client:
                statuses = [
                    (
                        await client.post("/api/chat", json={"model": name, "messages": SAY})
                    ).status_code
                    for name in ("smol-tools:latest", "smol-tools", "Smol-Tools", SMOL, "auto")
                ]

    assert statuses == [200, 200, 200, 403, 403]
