"""A router with two nodes, and what operators and clients see of it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, Running, running_router

BODY = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
LONG = ["word "] * 60


@asynccontextmanager
async def two(
    folder: Path, a: FakeOpenAi, b: FakeOpenAi, **fields: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Running]]:
    nodes: dict[str, Node] = {"a": {"url": a.url, **fields}, "b": b.url}
    async with running_router(nodes, folder=folder) as router:
        async with router.client() as client:
            yield client, router


async def status(client: httpx.AsyncClient, name: str = "a") -> dict[str, Any]:
    nodes = (await client.get("/api/status/all")).json()
    return next(node for node in nodes if node["name"] == name)


async def served_by(client: httpx.AsyncClient, tries: int = 6) -> set[str]:
    answers = [await client.post("/v1/chat/completions", json=BODY) for _ in range(tries)]
    return {answer.headers.get("x-dpl-node", str(answer.status_code)) for answer in answers}


@asynccontextmanager
async def streaming(client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[str]]:
    """An answer that has begun."""
    call = client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True})
    async with call as answer:
        pieces = answer.aiter_text()
        await anext(pieces)
        yield pieces


def audited(folder: Path) -> list[tuple[str, str, str]]:
    lines = (folder / "data" / "audit.jsonl").read_text().splitlines()
    return [(one["action"], one["object"], one["outcome"]) for one in map(json.loads, lines)]


def reasons(folder: Path) -> list[tuple[str, str]]:
    """(action, the operator's own reason), of the lines that have one."""
    lines = (folder / "data" / "audit.jsonl").read_text().splitlines()
    return [(one["action"], one["why"]) for one in map(json.loads, lines) if "why" in one]


async def names(client: httpx.AsyncClient, *names: str) -> bool:
    return [node["name"] for node in (await client.get("/api/status/all")).json()] == [*names]
