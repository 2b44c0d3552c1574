"""The router's leases on a real exporter: beside the request, never in its way."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from dpl_router.control import Control
from dpl_router.metrics import RouterMetrics
from dpl_router.nodes.lease_client import LeaseClient
from dpl_router.nodes.slots import NodeSlots
from tests.exporter.process import Running as Exporter
from tests.exporter.process import running as exporter_of
from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import Node, running_router, until

PATH = "/v1/chat/completions"
BODY = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}


@contextmanager
def measured(folder: Path, node: FakeOpenAi, name: str = "exporter") -> Iterator[Exporter]:
    home = folder / name
    home.mkdir()
    with exporter_of(home, "--llm-url", node.url, "--data-dir", str(home)) as exporter:
        yield exporter


def lock(exporter: Exporter, **wish: Any) -> dict[str, Any]:
    answer = exporter.call("POST", "/lock", json.dumps(wish).encode())
    assert answer.status == 200, answer.body
    return answer.json()


def locked(exporter: Exporter) -> bool:
    return bool(exporter.call("GET", "/status").json()["locked"])


async def test_a_lease_is_held_while_a_request_runs_and_returned_soon_after(
    tmp_path: Path,
) -> None:
    with FakeOpenAi(tokens=["word "] * 20) as node, measured(tmp_path, node) as exporter:
        nodes = {"a": {"url": node.url, "exporter": exporter.url}}
        async with running_router(nodes, folder=tmp_path) as router:
            node.faults = Faults(token_delay=0.05)
            async with router.client() as client:
                calls = [asyncio.create_task(client.post(PATH, json=BODY)) for _ in range(3)]
                await until(lambda: locked(exporter), what="a lease is held")
                status = exporter.call("GET", "/status").json()
                answers = await asyncio.gather(*calls)
            ended = time.monotonic()
            await until(lambda: not locked(exporter), seconds=5)
            returned_after = time.monotonic() - ended

    lease = status["lock"]
    assert isinstance(lease, dict)
    assert [answer.status_code for answer in answers] == [200] * 3
    assert str(lease["owner"]).startswith("dpl-router:")
    assert returned_after < 2.0


async def test_a_strangers_exclusive_lease_is_respected_before_the_first_byte(
    tmp_path: Path,
) -> None:
    with FakeOpenAi() as node, FakeOpenAi() as other, measured(tmp_path, node) as exporter:
        nodes: dict[str, Node] = {
            "held": {"url": node.url, "exporter": exporter.url},
            "free": {"url": other.url, "slots": 1},
        }
        async with running_router(nodes, folder=tmp_path, poll_interval=60) as router:
            lock(exporter, owner="a stranger", ttl_seconds=60, exclusive=True)
            node.faults = other.faults = Faults(head_delay=0.3)
            async with router.client() as client:
                calls = [client.post(PATH, json=BODY) for _ in range(3)]
                answers = await asyncio.gather(*calls)
            finished = len(node.finished)

    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.headers["x-dpl-node"] for answer in answers} == {"free"}
    assert finished == 0


async def test_an_exclusively_held_only_node_is_a_503_that_says_so(tmp_path: Path) -> None:
    with FakeOpenAi() as node, measured(tmp_path, node) as exporter:
        lock(exporter, owner="a stranger", ttl_seconds=60, exclusive=True)
        nodes: dict[str, Node] = {"held": {"url": node.url, "exporter": exporter.url}}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:

                async def refused() -> Any:
                    answer = await client.post(PATH, json=BODY)
                    return answer if answer.status_code == 503 else None

                answer = await until(refused)

    assert "held: exclusive" in answer.json()["error"]["message"]
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_dead_exporter_does_not_keep_its_node_from_serving(tmp_path: Path) -> None:
    with FakeOpenAi() as node, measured(tmp_path, node) as exporter:
        nodes = {"a": {"url": node.url, "exporter": exporter.url}}
        async with running_router(nodes, folder=tmp_path) as router:
            exporter.process.kill()
            async with router.client() as client:
                answers = [await client.post(PATH, json=BODY) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200] * 5


async def test_no_request_waits_for_a_frozen_exporter(tmp_path: Path) -> None:
    """It accepts and never answers: a lease taken before the request would cost its time-out."""
    with FakeOpenAi() as node, socket.create_server(("127.0.0.1", 0), backlog=64) as frozen:
        url = f"http://127.0.0.1:{frozen.getsockname()[1]}"
        nodes = {"a": {"url": node.url, "exporter": url}}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                await client.post(PATH, json=BODY)
                started = time.monotonic()
                answers = [await client.post(PATH, json=BODY) for _ in range(20)]
                took = time.monotonic() - started

    assert [answer.status_code for answer in answers] == [200] * 20
    assert took < 20 * 0.5


async def test_the_router_gives_its_leases_back_when_it_stops(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=["word "] * 100) as node, measured(tmp_path, node) as exporter:
        nodes = {"a": {"url": node.url, "exporter": exporter.url}}
        async with running_router(nodes, folder=tmp_path) as router:
            node.faults = Faults(token_delay=0.05)
            async with router.client() as client:
                call = asyncio.create_task(client.post(PATH, json=BODY))
                await until(lambda: locked(exporter))
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
        held = locked(exporter)

    assert not held


async def test_unlock_all_tells_what_became_of_each_node(tmp_path: Path) -> None:
    with FakeOpenAi() as node, measured(tmp_path, node) as exporter:
        lock(exporter, owner="a stranger", ttl_seconds=60, exclusive=True)
        nodes: dict[str, Node] = {
            "held": {"url": node.url, "exporter": exporter.url},
            "gone": {"url": node.url, "exporter": "http://127.0.0.1:9"},
            "bare": node.url,
        }
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post("/api/unlock/all")
        audit = (tmp_path / "data" / "audit.jsonl").read_text()
        held = locked(exporter)

    assert {each["node"]: each["outcome"] for each in answer.json()} == {
        "held": "released",
        "gone": "unreachable",
        "bare": "no exporter",
    }
    assert not held
    assert '"action": "unlock_all"' in audit


class Heard:
    """What lease answers said of others."""

    def __init__(self) -> None:
        self.others: list[int] = []

    def on_others(self, node: str, slots: int) -> None:
        self.others.append(slots)

    def on_exclusive(self, node: str, seconds: float) -> None:
        raise AssertionError("nobody holds it exclusively")


@asynccontextmanager
async def holding(exporter: Exporter, busy: int) -> AsyncIterator[NodeSlots]:
    control = Control(exporter.url)
    slots = NodeSlots(
        "a",
        LeaseClient(control, "us"),
        "us",
        busy=lambda: busy,
        listener=Heard(),
        metrics=RouterMetrics(CollectorRegistry()).leases,
        ttl=15.0,
    )
    slots.wanted()
    try:
        yield slots
    finally:
        await slots.close()
        await control.close()


def held(exporter: Exporter) -> dict[str, int]:
    lease = exporter.call("GET", "/status").json()["lock"]
    assert isinstance(lease, dict)
    return {holder["owner"]: holder["slots"] for holder in lease["holders"]}


@pytest.mark.parametrize(("others", "busy", "ours"), [(3, 5, 1), (0, 9, 4), (1, 4, 3)])
async def test_where_not_all_of_it_fits_what_is_free_is_held(
    tmp_path: Path, others: int, busy: int, ours: int
) -> None:
    with FakeOpenAi(slots=4) as node, measured(tmp_path, node) as exporter:
        if others:
            lock(exporter, owner="them", ttl_seconds=60, slots=others)
        async with holding(exporter, busy):
            await until(lambda: held(exporter).get("us") == ours, seconds=5)


async def test_a_lease_grows_when_others_let_go(tmp_path: Path) -> None:
    with FakeOpenAi(slots=4) as node, measured(tmp_path, node) as exporter:
        theirs = lock(exporter, owner="them", ttl_seconds=60, slots=3)
        async with holding(exporter, 4) as slots:
            slots.ttl = 1.5
            await until(lambda: held(exporter).get("us") == 1, seconds=5)
            release = {"owner": "them", "token": theirs["token"]}
            exporter.call("POST", "/unlock", json.dumps(release).encode())
            await until(lambda: held(exporter).get("us") == 4, seconds=5)
