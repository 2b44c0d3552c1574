"""Where the router asks for keys, each client shows its own as docs/clients.md says."""

import hashlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import yaml

from tests.clients.agents_node import FakeAgentsNode
from tests.clients.clients import Environment
from tests.clients.page import Snippet, runnable, variables
from tests.fakes.ollama import FakeOllama
from tests.fakes.router import Running, running_router

pytestmark = pytest.mark.system

KEY = "a-key-of-mine"
WRONG = "not-that-key"
SHOWN = ("curl", "openai", "ollama", "anthropic", "langchain-ollama", "llm")
"""The others of the page show it as one of these does."""
CASES = [
    pytest.param(snippet, where, id=snippet.heading)
    for snippet, where in runnable()
    if snippet.heading in SHOWN and (snippet.heading, where) != ("openai", "frameworks")
]


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[Running]:
    file = tmp_path / "keys.yaml"
    hashed = hashlib.sha256(KEY.encode()).hexdigest()
    file.write_text(yaml.safe_dump({"keys": [{"name": "me", "role": "user", "sha256": hashed}]}))
    with FakeOllama() as node, FakeAgentsNode() as agents:
        nodes = {"a": {"url": node.url, "kind": "ollama"}, "b": {"url": agents.url}}
        async with running_router(nodes, folder=tmp_path, keys_file=file) as router:
            yield router


async def ran(
    snippet: Snippet, where: Environment, key: str, url: str, home: Path
) -> subprocess.CompletedProcess[bytes]:
    """The snippet with its key in the places that the page names."""
    code = snippet.code.replace('"none"', f'"{key}"')
    code = code.replace("curl -i", f"curl -fi -H 'Authorization: Bearer {key}'")
    code = code.replace("/v1\nEND", "/v1\n  api_key_name: dpl\nEND")
    code = code.replace("llm -m", f"llm keys set dpl --value {key}\nllm -m")
    if snippet.heading == "anthropic":
        code = code.replace("smollm2:135m", "agents-chat")
    told = Snippet(snippet.heading, snippet.language, code)
    env = variables(where, home) | {"OLLAMA_API_KEY": key}
    with anyio.fail_after(120):
        return await anyio.run_process(told.command(where, url), env=env, cwd=home, check=False)


@pytest.mark.parametrize(("snippet", "where"), CASES)
async def test_a_client_shows_its_key_as_the_page_says(
    snippet: Snippet, where: Environment, router: Running, tmp_path: Path
) -> None:
    done = await ran(snippet, where, KEY, router.url, tmp_path)

    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(("snippet", "where"), CASES[:4])
async def test_a_client_tells_that_its_key_was_wrong(
    snippet: Snippet, where: Environment, router: Running, tmp_path: Path
) -> None:
    done = await ran(snippet, where, WRONG, router.url, tmp_path)

    assert done.returncode != 0
    assert b"401" in done.stderr
