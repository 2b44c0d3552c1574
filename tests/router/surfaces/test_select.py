"""`X-DPL-Select`: a client says which labels its node must have."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, running_router

OPENAI = ("/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "a"}]})
OLLAMA = ("/api/chat", {**OPENAI[1], "stream": False})


@pytest.mark.parametrize(("path", "body"), [OPENAI, OLLAMA])
async def test_only_nodes_with_the_labels_are_asked(
    path: str, body: dict[str, Any], tmp_path: Path
) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        nodes: dict[str, Node] = {
            "a": {"url": a.url, "labels": {"rack": "a", "tier": "fast"}},
            "b": {"url": b.url, "labels": {"rack": "b", "tier": "fast"}},
        }
        async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
            answers = [
                await client.post(path, json=body, headers={"X-DPL-Select": wish})
                for wish in ("rack=b", "tier=fast, rack=a", "rack=b") * 3
            ]
            nowhere = await client.post(path, json=body, headers={"X-DPL-Select": "rack=c"})
            odd = await client.post(path, json=body, headers={"X-DPL-Select": "rack"})

    assert [answer.headers["x-dpl-node"] for answer in answers] == ["b", "a", "b"] * 3
    assert nowhere.status_code == 503
    assert "a: labels, b: labels" in nowhere.text
    assert odd.status_code == 400
    assert "LABEL=VALUE" in odd.text
