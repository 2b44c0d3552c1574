"""Whatever the OpenAPI document allows, and what it does not: no call makes the router fail."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.clients.clients import python_of
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAi
from tests.system.running import Stack, dpl_up

EXAMPLES = 12
"""Of each call and each way to choose its fields."""
SEED = 20261126
MINUTES = 4
REGISTRY = "/api/pull"
"""Says truly that the registry could not be reached (502): it is no fault of ours."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """The whole chain, with nodes that answer at once."""
    with FakeOllama() as ollama, FakeOpenAi(model="tiny") as openai:
        nodes = [
            {"name": "a", "url": ollama.url, "kind": "ollama", "exporter": "none"},
            {"name": "b", "url": openai.url, "kind": "openai", "exporter": "none"},
        ]
        file = tmp_path / "fleet.yaml"
        file.write_text(yaml.safe_dump({"version": 1, "nodes": nodes}), encoding="utf-8")
        with dpl_up(tmp_path / "data", "--nodes", str(file)) as running:
            yield running


def test_no_call_of_the_document_makes_the_router_fail(stack: Stack, tmp_path: Path) -> None:
    command = [
        str(python_of("fuzz").with_name("schemathesis")),
        "run",
        f"{stack.url}/schema/openapi.json",
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
