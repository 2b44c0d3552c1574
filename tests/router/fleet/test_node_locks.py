"""Locks of operators on a real exporter: held whole, until they are let go of."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.exporter.process import Running as Exporter
from tests.exporter.process import running as exporter_of
from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import until, write_nodes
from tests.router.fleet.calls import BODY, LONG, names, reasons, served_by, status, streaming, two


@contextmanager
def measured(folder: Path, node: FakeOpenAi) -> Iterator[Exporter]:
    home = folder / "exporter"
    home.mkdir(exist_ok=True)
    with exporter_of(home, "--llm-url", node.url, "--data-dir", str(home)) as exporter:
        yield exporter


def holders(exporter: Exporter) -> list[tuple[str, bool]]:
    lock: Any = exporter.call("GET", "/status").json()["lock"]
    return [(one["owner"], one["exclusive"]) for one in lock["holders"]]


async def test_a_lock_holds_the_whole_node_until_it_is_let_go_of(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b, measured(tmp_path, a) as exporter:
        async with two(tmp_path, a, b, exporter=exporter.url) as (client, router):
            write_nodes(
                router.nodes_file,
                {"a": {"url": a.url, "exporter": exporter.url}, "b": b.url},
                {"lease_ttl": "1s"},
            )
            await asyncio.sleep(1.5)
            locked = await client.post("/api/nodes/a/lock", json={"reason": "bench"})
            shown, served = await status(client), await served_by(client)
            await client.post("/api/nodes/b/cordon")
            refused = await client.post("/v1/chat/completions", json=BODY)
            await asyncio.sleep(2.5)
            held = holders(exporter)
            twice = await client.post("/api/nodes/a/lock")
            freed = await client.post("/api/nodes/a/unlock")
            after = holders(exporter)
            free = await client.post("/api/nodes/a/unlock")
            told = await status(client)

    assert locked.status_code == 200
    assert (shown["state"], shown["reason"]) == ("locked", "locked by local: bench")
    assert served == {"b"}
    assert "a: locked by local, b: cordoned" in refused.json()["error"]["message"]
    assert refused.headers["retry-after"] == "30"
    assert ("lock", "bench") in reasons(tmp_path)
    assert [exclusive for _, exclusive in held] == [True]
    assert held[0][0].endswith(":lock:local")
    assert twice.status_code == 409
    assert freed.json()["outcome"] == "released"
    assert after == []
    assert free.json()["outcome"] == "nothing was held"
    assert told["state"] == "ready"


async def test_a_lock_waits_for_our_own_answers_there(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=LONG) as a, FakeOpenAi() as b, measured(tmp_path, a) as exporter:
        async with two(tmp_path, a, b, exporter=exporter.url) as (client, _):
            await client.post("/api/nodes/b/cordon")
            a.faults = Faults(token_delay=0.02)
            async with streaming(client) as pieces:
                hasty = await client.post("/api/nodes/a/lock", json={"timeout": 0})
                free = await status(client)
                locking = asyncio.create_task(client.post("/api/nodes/a/lock"))
                text = "".join([piece async for piece in pieces])
                locked = await locking

    assert hasty.status_code == 409
    assert "answers that run there: 1" in hasty.json()["detail"]
    assert free["lock"] is None
    assert text.endswith("data: [DONE]\n\n")
    assert locked.status_code == 200


async def test_a_node_that_somebody_else_holds_cannot_be_locked(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b, measured(tmp_path, a) as exporter:
        exporter.call("POST", "/lock", b'{"owner": "a stranger", "ttl_seconds": 60}')
        async with two(tmp_path, a, b, exporter=exporter.url) as (client, _):
            refused = await client.post("/api/nodes/a/lock", json={"timeout": 0.3})
            freed = await client.post("/api/nodes/a/unlock")
            locked = await client.post("/api/nodes/a/lock", json={"timeout": 5})

    assert refused.status_code == 409
    assert "held by a stranger" in refused.json()["detail"]
    assert freed.json()["outcome"] == "released"
    assert locked.status_code == 200


async def test_the_doctor_knows_our_lock_from_a_strangers(tmp_path: Path) -> None:
    """What it advises must not end the leases of other nodes."""
    with FakeOpenAi() as a, FakeOpenAi() as b, measured(tmp_path, a) as exporter:
        async with two(tmp_path, a, b, exporter=exporter.url) as (client, _):
            await client.post("/api/nodes/a/lock", json={"reason": "bench"})
            ours = await _found(client)
            await client.post("/api/nodes/a/unlock")
            exporter.call("POST", "/lock", b'{"owner": "x", "exclusive": true, "ttl_seconds": 60}')
            await until(lambda: _held_by_somebody(client))
            theirs = await _found(client)

    assert ours == [
        {
            "severity": "info",
            "node": "a",
            "what": "locked: nothing is sent to it",
            "evidence": "by local: bench",
            "remedy": "dpl unlock a, when it shall serve again",
        }
    ]
    assert [one["what"] for one in theirs] == ["somebody holds the whole node"]
    assert "dpl unlock a" in theirs[0]["remedy"]
    assert "unlock/all" not in theirs[0]["remedy"]


async def _held_by_somebody(client: httpx.AsyncClient) -> bool:
    return bool((await status(client))["reason"] == "locked: somebody has the whole node")


async def _found(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """What the doctor says of node a."""
    told = (await client.get("/api/debug/diagnosis")).json()["findings"]
    return [finding for finding in told if finding["node"] == "a"]


async def test_a_lock_on_a_node_that_left_nodes_yaml_can_be_ended(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b, measured(tmp_path, a) as exporter:
        async with two(tmp_path, a, b, exporter=exporter.url) as (client, router):
            await client.post("/api/nodes/a/lock")
            write_nodes(router.nodes_file, {"b": b.url}, {})
            await until(lambda: names(client, "b"), seconds=5)
            freed = await client.post("/api/nodes/a/unlock")
            again = await client.post("/api/nodes/a/unlock")
            write_nodes(router.nodes_file, {"a": a.url, "b": b.url}, {})
            await until(lambda: names(client, "a", "b"), seconds=5)
            back = await status(client)

    assert (freed.status_code, freed.json()["outcome"]) == (200, "released")
    assert again.status_code == 404
    assert back["lock"] is None


async def test_without_an_exporter_nobody_keeps_a_lock(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, _):
            refused = await client.post("/api/nodes/a/lock")

    assert refused.status_code == 409
    assert "no exporter" in refused.json()["detail"]


async def test_while_a_lock_cannot_be_renewed_nothing_is_sent_there(tmp_path: Path) -> None:
    """Exclusive use fails closed: whoever measures there must not be disturbed."""
    with FakeOpenAi() as a, FakeOpenAi() as b:
        with measured(tmp_path, a) as exporter:
            async with two(tmp_path, a, b, exporter=exporter.url) as (client, router):
                write_nodes(
                    router.nodes_file,
                    {"a": {"url": a.url, "exporter": exporter.url}, "b": b.url},
                    {"lease_ttl": "1s"},
                )
                await asyncio.sleep(1.5)
                await client.post("/api/nodes/a/lock")
                exporter.process.kill()
                problem = await until(lambda: _problem(client), seconds=10)
                served = await served_by(client)

    assert "cannot be reached" in problem
    assert served == {"b"}


async def _problem(client: httpx.AsyncClient) -> str | None:
    lock = (await status(client))["lock"]
    return lock["problem"] if lock else None


async def test_unlock_all_ends_our_own_locks_too(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b, measured(tmp_path, a) as exporter:
        async with two(tmp_path, a, b, exporter=exporter.url) as (client, _):
            await client.post("/api/nodes/a/lock")
            outcomes = (await client.post("/api/unlock/all")).json()
            await asyncio.sleep(1.0)
            held, shown = holders(exporter), await status(client)

    assert [(one["node"], one["outcome"]) for one in outcomes] == [
        ("a", "released"),
        ("b", "no exporter"),
    ]
    assert held == []
    assert shown["lock"] is None


async def test_a_router_that_ends_gives_its_locks_back(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b, measured(tmp_path, a) as exporter:
        async with two(tmp_path, a, b, exporter=exporter.url) as (client, _):
            await client.post("/api/nodes/a/lock")
            during = holders(exporter)
        after = holders(exporter)

    assert len(during) == 1
    assert after == []
