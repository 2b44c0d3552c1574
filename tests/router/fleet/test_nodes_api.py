"""What operators do to a node: over HTTP, audited, and true at once for the next request."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import until, write_nodes
from tests.router.fleet.calls import (
    BODY,
    LONG,
    audited,
    names,
    reasons,
    served_by,
    status,
    streaming,
    two,
)


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
        ("cordon", "a", "ok"),
        ("uncordon", "a", "ok"),
        ("cordon", "b", "ok"),
    ]
    assert reasons(tmp_path) == [("cordon", "new fan")]


async def test_whom_a_cordon_keeps_away_is_told_so_and_to_come_back_later(tmp_path: Path) -> None:
    """Each second is no time to ask again: people lift it."""
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, _):
            await client.post("/api/nodes/a/cordon")
            await client.post("/api/nodes/b/cordon")
            refused = await client.post("/v1/chat/completions", json=BODY)

    assert refused.status_code == 503
    assert "a: cordoned, b: cordoned" in refused.json()["error"]["message"]
    assert refused.headers["retry-after"] == "30"


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
            before = await status(client)
            await client.post("/api/nodes/a/cordon", json={"reason": "fan"})
            refused = await client.post("/api/nodes/a/uncordon")
            after = await status(client)

    assert refused.status_code == 409
    assert "nodes.yaml says `cordoned: true`" in refused.json()["detail"]
    assert before["reason"] == "cordoned by nodes.yaml: nothing new is sent to it"
    assert [cordon["why"] for cordon in after["cordons"]][-1] == "fan"  # a refusal changes nothing


async def test_a_node_that_leaves_and_comes_back_is_still_cordoned(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, router):
            await client.post("/api/nodes/a/cordon")
            write_nodes(router.nodes_file, {"b": b.url}, {})
            await until(lambda: names(client, "b"), seconds=5)
            write_nodes(router.nodes_file, {"a": a.url, "b": b.url}, {})
            await until(lambda: names(client, "a", "b"), seconds=5)
            shown = await status(client)
            gauge = await router.metric('dpl_router_node_cordoned{node="a"}')

    assert shown["cordoned"]
    assert gauge == 1


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
    assert [line for line in audited(tmp_path) if line[0] == "drain"] == [
        ("drain", "a", "begun"),
        ("drain", "a", "a was uncordoned while it was drained"),
    ]


async def test_a_drain_is_written_down_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=LONG) as a, FakeOpenAi() as b:
        async with two(tmp_path, a, b) as (client, _):
            await client.post("/api/nodes/b/cordon")
            a.faults = Faults(token_delay=0.02)
            async with streaming(client) as pieces:
                wish = {"reason": "new fan"}
                draining = asyncio.create_task(client.post("/api/nodes/a/drain", json=wish))
                await until(lambda: ("drain", "a", "begun") in audited(tmp_path))
                begun = not draining.done()
                async for _piece in pieces:
                    pass
                await draining

    assert begun
    assert audited(tmp_path)[-1] == ("drain", "a", "0 still run, 0 cut")
    assert reasons(tmp_path) == [("drain", "new fan")] * 2


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
