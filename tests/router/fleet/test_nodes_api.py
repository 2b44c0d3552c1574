"""What operators do to a node: over HTTP, audited, and true at once for the next request."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.exporter.process import Running as Exporter
from tests.exporter.process import running as exporter_of
from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import Node, Running, running_router, until, write_nodes

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


async def test_a_cordoned_node_gets_nothing_new_until_it_is_uncordoned(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, router):
            done = await client.post("/api/nodes/a/cordon", json={"reason": "new fan"})
            shown, served = await status(client), await served_by(client)
            gauge = await router.metric('dpl_router_node_cordoned{node="a"}')
            counted = await router.metric('dpl_router_node_cordons_total{source="operator"}')
            back = await client.post("/api/nodes/a/uncordon")
            await client.post("/api/nodes/b/cordon")
            after = await served_by(client)

    assert (done.status_code, done.json()["cordoned"], done.json()["kept"]) == (200, True, True)
    assert shown["cordoned"]
    assert shown["reason"] == "cordoned by local: new fan"
    assert served == {"b"}
    assert (gauge, counted) == (1, 1)
    assert back.json()["cordoned"] is False
    assert (back.json()["lifted"], back.json()["state"]) == (1, "ready")
    assert after == {"a"}
    assert audited(tmp_path) == [
        ("cordon", "a", "new fan"),
        ("uncordon", "a", "ok"),
        ("cordon", "b", "ok"),
    ]


async def test_a_running_answer_outlives_the_cordon(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=LONG) as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, _):
            await client.post("/api/nodes/b/cordon")
            a.faults = Faults(token_delay=0.02)
            async with streaming(client) as pieces:
                await client.post("/api/nodes/a/cordon")
                text = "".join([piece async for piece in pieces])

    assert text.endswith("data: [DONE]\n\n")


async def test_what_nodes_yaml_cordons_is_not_lifted_here(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b, cordoned=True) as (client, _):
            refused = await client.post("/api/nodes/a/uncordon")
            shown = await status(client)

    assert refused.status_code == 409
    assert "nodes.yaml says `cordoned: true`" in refused.json()["detail"]
    assert shown["reason"] == "cordoned by nodes.yaml: nothing new is sent to it"


async def test_a_node_that_leaves_and_comes_back_is_still_cordoned(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, router):
            await client.post("/api/nodes/a/cordon")
            write_nodes(router.nodes_file, {"b": b.url}, {})
            await until(lambda: _names(client, "b"), seconds=5)
            write_nodes(router.nodes_file, {"a": a.url, "b": b.url}, {})
            await until(lambda: _names(client, "a", "b"), seconds=5)
            shown = await status(client)
            gauge = await router.metric('dpl_router_node_cordoned{node="a"}')

    assert shown["cordoned"]
    assert gauge == 1


async def _names(client: httpx.AsyncClient, *names: str) -> bool:
    return [node["name"] for node in (await client.get("/api/status/all")).json()] == [*names]


async def test_a_drain_waits_for_running_answers(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=LONG) as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, _):
            await client.post("/api/nodes/b/cordon")
            a.faults = Faults(token_delay=0.01)
            async with streaming(client) as pieces:
                draining = asyncio.create_task(client.post("/api/nodes/a/drain"))
                text = "".join([piece async for piece in pieces])
                drained = (await draining).json()

    assert text.endswith("data: [DONE]\n\n")
    assert (drained["drained"], drained["running"], drained["cut"]) == (True, 0, 0)


async def test_a_drain_that_takes_too_long_says_so_and_leaves_the_cordon(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=LONG) as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, _):
            await client.post("/api/nodes/b/cordon")
            a.faults = Faults(token_delay=0.2)
            async with streaming(client):
                answer = await client.post("/api/nodes/a/drain", json={"timeout": 0.3})
                shown = await status(client)

    assert answer.status_code == 200
    assert (answer.json()["drained"], answer.json()["running"]) == (False, 1)
    assert shown["cordoned"]


async def test_force_cuts_what_still_runs_with_an_error_and_never_a_clean_end(
    tmp_path: Path,
) -> None:
    with FakeOpenAi(tokens=LONG) as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, router):
            await client.post("/api/nodes/b/cordon")
            a.faults = Faults(token_delay=0.2)
            async with streaming(client) as pieces:
                wish = {"timeout": 0.2, "force": True}
                answer = await client.post("/api/nodes/a/drain", json=wish)
                text = "".join([piece async for piece in pieces])
            circuit = await router.metric('dpl_router_circuit_state{node="a"}')

    assert (answer.json()["drained"], answer.json()["cut"]) == (True, 1)
    assert "a was drained by an operator" in text
    assert "[DONE]" not in text
    assert circuit == 0


async def test_a_forced_drain_sends_what_had_no_word_yet_elsewhere(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, _):
            await client.post("/api/nodes/b/cordon")
            a.faults = Faults(head_delay=20)
            call = asyncio.create_task(client.post("/v1/chat/completions", json=BODY))
            await until(lambda: a.chats)
            await client.post("/api/nodes/b/uncordon")
            await client.post("/api/nodes/a/drain", json={"timeout": 0, "force": True})
            answer = await asyncio.wait_for(call, 10)

    assert answer.status_code == 200
    assert answer.headers["x-dpl-node"] == "b"


async def test_a_drain_ends_when_somebody_uncordons_the_node(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=LONG) as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, _):
            await client.post("/api/nodes/b/cordon")
            a.faults = Faults(token_delay=0.2)
            async with streaming(client):
                draining = asyncio.create_task(client.post("/api/nodes/a/drain"))
                await until(lambda: _cordoned(client))
                await client.post("/api/nodes/a/uncordon")
                answer = await asyncio.wait_for(draining, 10)

    assert answer.status_code == 409


async def _cordoned(client: httpx.AsyncClient) -> bool:
    return bool((await status(client))["cordoned"])


@pytest.mark.parametrize("verb", ["cordon", "uncordon", "drain", "lock", "unlock"])
async def test_an_unknown_node_is_a_404_that_is_audited(tmp_path: Path, verb: str) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, _):
            answer = await client.post(f"/api/nodes/gpu-9/{verb}")

    assert answer.status_code == 404
    assert "there is no node 'gpu-9'" in answer.json()["detail"]
    assert audited(tmp_path)[0][:2] == (verb, "gpu-9")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"reason": 1}', "reason"),
        (b'{"raeson": "x"}', None),
        (b'{"reason": "' + b"x" * 301 + b'"}', "reason"),
    ],
)
async def test_a_bad_body_cordons_nobody(tmp_path: Path, body: bytes, place: str | None) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, _):
            answer = await client.post("/api/nodes/a/cordon", content=body)
            shown = await status(client)

    assert answer.status_code == 400
    assert answer.json().get("param") == place
    assert not shown["cordoned"]


# Locks.


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
