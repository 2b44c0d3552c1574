"""Alertmanager's calls, and a fleet whose exporters say what a test wants."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, Running, running_router
from tests.router.pages.stage import answering, exposition

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
GPU = (0.1, 2.0, 24.0)
NO_PAGE = "{"
"""What is no exposition: to the router the exporter is dead."""


def alert(
    node: str = "a",
    *,
    status: str = "firing",
    mark: str = "",
    name: str = "DplGpuMissing",
    action: str = "cordon",
    **labels: str,
) -> dict[str, Any]:
    named = {"alertname": name, "node": node, "scope": "gpu", "action": action, **labels}
    return {
        "status": status,
        "labels": {key: value for key, value in named.items() if value},
        "annotations": {"summary": f"{node} lost a GPU."},
        "startsAt": "2026-01-02T03:04:05.678Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": mark or f"{abs(hash((node, name))):016x}"[:16],
    }


def call(*alerts: dict[str, Any], truncated: int = 0, **more: object) -> dict[str, Any]:
    """The payload, version 4, as Alertmanager 0.25 to 0.33 send it."""
    return {
        "version": "4",
        "groupKey": '{}/{action=~"cordon|drain"}:{node="a"}',
        "truncatedAlerts": truncated,
        "status": "firing",
        "receiver": "router-actions",
        "groupLabels": {"node": "a"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": alerts,
        **more,
    }


@dataclass
class Floor:
    """A running router; `pages` are what each node's exporter says, and may be changed."""

    router: Running
    client: httpx.AsyncClient
    pages: dict[str, str]
    data: Path

    async def webhook(self, *alerts: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
        """(node, outcome) of each alert."""
        answer = await self.client.post("/alertmanager/webhook", json=call(*alerts, **more))
        assert answer.status_code == 200, answer.text
        return [(one["node"], one["outcome"]) for one in answer.json()["outcomes"]]

    async def node(self, name: str = "a") -> dict[str, Any]:
        nodes = (await self.client.get("/api/status/all")).json()
        return next(node for node in nodes if node["name"] == name)

    async def cordoned(self) -> set[str]:
        nodes = (await self.client.get("/api/status/all")).json()
        return {node["name"] for node in nodes if node["cordoned"]}

    async def served_by(self, tries: int = 6) -> set[str]:
        """The nodes that answer."""
        answers = [await self.client.post("/v1/chat/completions", json=CHAT) for _ in range(tries)]
        return {answer.headers.get("x-dpl-node", str(answer.status_code)) for answer in answers}

    def audited(self) -> list[tuple[str, str, str]]:
        """(actor, action, object), oldest first."""
        lines = (self.data / "audit.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        return [(one["actor"], one["action"], one["object"]) for one in records]


@asynccontextmanager
async def fleet(
    folder: Path, *names: str, gpu: tuple[float, float, float] | None = GPU, **settings: Any
) -> AsyncIterator[Floor]:
    """Nodes that all serve `tiny`. Facts are stale after 0.6 s; a node that was well for 0.8 s is
    believed."""
    async with AsyncExitStack() as stack:
        pages = {name: exposition({"tiny": True}, gpu=gpu) for name in names}
        nodes: dict[str, Node] = {}
        for name in names:
            server = stack.enter_context(FakeOpenAi())
            page = answering(lambda name=name: pages[name])  # type: ignore[misc]
            nodes[name] = {"url": server.url, "exporter": await stack.enter_async_context(page)}
        told = {"scrape_interval": 0.2, "poll_interval": 0.1, **settings}
        router = await stack.enter_async_context(running_router(nodes, folder=folder, **told))
        client = await stack.enter_async_context(router.client())
        yield Floor(router, client, pages, folder / "data")
