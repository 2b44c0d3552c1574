"""Whatever the OpenAPI document allows, and what it does not: no call makes the router fail."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.clients.clients import python_of
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAi
from tests.fakes.server import FakeServer
from tests.system.running import Stack, dpl_up

EXAMPLES = 12
"""Of each call and each way to choose its fields."""
SEED = 20261126
MINUTES = 4
MODELS = ["smollm2:135m", "tiny", "auto", "nobody-has-it"]
REACHED = 20
"""Calls at each node."""
REGISTRY = "/api/pull"
"""Says truly that the registry could not be reached (502): it is no fault of ours."""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[tuple[Stack, Sequence[FakeServer]]]:
    """The whole chain, with nodes that answer at once."""
    with FakeOllama() as ollama, FakeOpenAi(model="tiny") as openai:
        nodes = [
            {"name": "a", "url": ollama.url, "kind": "ollama", "exporter": "none"},
            {"name": "b", "url": openai.url, "kind": "openai", "exporter": "none"},
        ]
        file = tmp_path / "fleet.yaml"
        file.write_text(yaml.safe_dump({"version": 1, "nodes": nodes}), encoding="utf-8")
        with dpl_up(tmp_path / "data", "--nodes", str(file)) as running:
            yield running, (ollama, openai)


def with_models(document: Any) -> Any:
    """The same document, but that calls name models which nodes have: else none would get there."""
    if isinstance(document, list):
        return [with_models(part) for part in document]
    if not isinstance(document, dict):
        return document
    said = {key: with_models(part) for key, part in document.items()}
    fields = said.get("properties")
    if isinstance(fields, dict) and "model" in fields:
        fields["model"] = {"enum": MODELS}
    return said


def test_no_call_of_the_document_makes_the_router_fail(
    fleet: tuple[Stack, Sequence[FakeServer]], tmp_path: Path
) -> None:
    stack, nodes = fleet
    document = tmp_path / "openapi.json"
    answer = httpx.get(f"{stack.url}/schema/openapi.json")
    document.write_text(json.dumps(with_models(answer.json())), encoding="utf-8")
    command = [
        python_of("fuzz"),
        *("-m", "schemathesis.cli", "run"),
        *(str(document), "--url", stack.url),
        *("--checks", "not_a_server_error"),
        *("--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES), "--seed", str(SEED)),
        *("--exclude-path", REGISTRY, "--request-timeout", "30", "--workers", "2"),
        *("--no-color", "--no-shrink", "--continue-on-failure"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=MINUTES * 60,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    for node in nodes:
        assert len(node.chats) > REACHED, "the calls that should reach a node did not"
