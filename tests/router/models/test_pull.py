"""Bringing a model to a node, by an operator's word or for a request."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

import pytest

from dpl_router.errors import BadRequest, Conflict, NoEligibleNode, NotFound, UpstreamError
from dpl_router.models import Models
from tests.fakes.ollama import FakeOllama, Faults, Model
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, Running, running_router, until
from tests.router.models.test_models import asking, chat, ollama

NEW = Model("new:1b")


def models_of(router: Running) -> Models:
    models: Models = router.parts.litestar.state.models
    return models


async def told(router: Running, name: str, node: str | None = None) -> list[Mapping[str, object]]:
    return [progress async for progress in models_of(router).pull(name, node=node)]


async def test_a_model_that_is_here_is_had_at_once_and_without_the_internet(tmp_path: Path) -> None:
    """Ollama itself fails where the registry cannot be reached."""
    with FakeOllama(models=[Model("tiny")], registry=None) as node:
        async with running_router({"a": ollama(node)}, folder=tmp_path) as router:
            for name in ("tiny", "tiny:latest", "TINY"):
                for where in (None, "a"):
                    assert await told(router, name, where) == [{"status": "success"}]

    assert [seen for seen in node.requests if seen.route == "/api/pull"] == []


async def test_progress_is_the_nodes_and_the_model_is_known_at_its_end(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")], registry=[NEW]) as node:
        async with asking({"a": ollama(node)}, tmp_path) as (client, router):
            progress = await told(router, "new:1b")
            answer = await chat(client, "new:1b")

    assert progress[0]["status"] == "pulling manifest"
    assert any("completed" in each for each in progress)
    assert progress[-1] == {"status": "success"}
    assert answer.status_code == 200


async def test_it_goes_to_the_node_that_was_named_or_to_one_that_can(tmp_path: Path) -> None:
    with (
        FakeOllama(models=[Model("tiny")], registry=[NEW]) as a,
        FakeOllama(models=[Model("tiny")], registry=[NEW]) as b,
        FakeOpenAi() as other,
    ):
        nodes: dict[str, Node] = {
            "other": other.url,
            "a": ollama(a, cordoned=True),
            "b": ollama(b),
        }
        async with running_router(nodes, folder=tmp_path) as router:
            await told(router, "new:1b")
            await told(router, "new:1b", "a")
            with pytest.raises(Conflict, match="node other cannot pull"):
                await told(router, "new:1b", "other")
            with pytest.raises(NotFound, match="there is no node 'c'"):
                await told(router, "new:1b", "c")
            with pytest.raises(BadRequest):
                await told(router, "")

    pulls = [[s.route for s in node.requests].count("/api/pull") for node in (a, b, other)]
    assert pulls == [1, 1, 0]


async def test_without_a_node_that_can_pull_it_is_said(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            with pytest.raises(NoEligibleNode, match="only Ollama can"):
                await told(router, "new:1b")


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (None, "no such host"),
        (Faults(status=500, everywhere=True, times=1), "."),
        (Faults(die="before_head", everywhere=True, times=1), "."),
        (
            Faults(raw='{"status":"pulling manifest"}\n', everywhere=True, times=1),
            "without success",
        ),
        (Faults(raw="<html>", everywhere=True, times=1), "no JSON"),
        (Faults(raw="[1]\n", everywhere=True, times=1), "no object"),
        (Faults(raw='{"error":{"message":"no\\nroom"}}\n', everywhere=True), "failed: no room$"),
        (
            Faults(raw='{"error":"bad key sk-0123456789 \\ud83d"}\n', everywhere=True),
            r"failed: bad key \[redacted\]",
        ),
        (Faults(raw='{"status":"x","error":null}\n', everywhere=True), "without success"),
    ],
)
async def test_a_pull_that_fails_never_ends_as_if_it_had_not(
    tmp_path: Path, faults: Faults | None, words: str
) -> None:
    with FakeOllama(models=[Model("tiny")], registry=None) as node:
        async with running_router(
            {"a": ollama(node)}, folder=tmp_path, check_interval=600.0
        ) as router:
            if faults is not None:
                node.faults = faults
            with pytest.raises(UpstreamError, match=words):
                await told(router, "new:1b")


async def test_who_leaves_stops_the_download(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")], registry=[NEW], step_seconds=0.2) as node:
        async with running_router({"a": ollama(node)}, folder=tmp_path) as router:
            async with aclosing(models_of(router).pull("new:1b")) as progress:
                await anext(progress)
            client = router.parts.dispatcher._clients["a"]
            await until(lambda: client.active == 0)

    assert "new:1b" not in node.shelf.models


# For a request.


async def test_a_model_that_is_nowhere_is_pulled_only_if_the_operator_allowed_it(
    tmp_path: Path,
) -> None:
    for allowed in (False, True):
        folder = tmp_path / str(allowed)
        folder.mkdir()
        with FakeOllama(models=[Model("tiny")], registry=[NEW], step_seconds=0.01) as node:
            async with running_router(
                {"a": ollama(node)}, folder=folder, router={"auto_pull": allowed}
            ) as router:
                async with router.client() as client:
                    answers = await asyncio.gather(*(chat(client, "new:1b") for _ in range(3)))
                    missing = await chat(client, "nobody:7b")

        pulls = [seen.route for seen in node.requests].count("/api/pull")
        assert {answer.status_code for answer in answers} == {200 if allowed else 404}
        assert missing.status_code == 404
        assert pulls == 2 * allowed


async def test_a_request_whose_model_is_pulled_counts_once(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")], registry=[NEW], step_seconds=0.01) as node:
        async with asking({"a": ollama(node)}, tmp_path, router={"auto_pull": True}) as (client, _):
            assert (await chat(client, "new:1b")).status_code == 200
            assert (await chat(client, "nobody:7b")).status_code == 404
            page = (await client.get("/metrics")).text

    counted = [
        line
        for line in page.splitlines()
        if line.startswith("dpl_router_requests_total") and not line.endswith(" 0.0")
    ]
    assert counted == [
        'dpl_router_requests_total{model="other",outcome="client_error",route="chat"} 1.0',
        'dpl_router_requests_total{model="new:1b",outcome="ok",route="chat"} 1.0',
    ]
    assert (
        'dpl_router_scheduling_rejections_total{model="other",reason="unknown_model"} 1.0' in page
    )


async def test_a_model_is_pulled_only_where_it_may_be_served(tmp_path: Path) -> None:
    with (
        FakeOllama(models=[Model("tiny")], registry=[NEW, Model("fresh")]) as a,
        FakeOllama(models=[Model("tiny")], registry=[NEW, Model("fresh")]) as b,
    ):
        nodes: dict[str, Node] = {
            "a": ollama(a, models=["tiny*", "fresh"]),
            "b": ollama(b, models=["new:*", "tiny*"]),
        }
        async with asking(nodes, tmp_path, router={"auto_pull": True}) as (client, router):
            assert (await chat(client, "new:1b")).status_code == 200
            with pytest.raises(NoEligibleNode, match="see `models`"):
                await told(router, "fresh")  # listed as fresh:latest, which no pattern means

    pulls = [[s.route for s in node.requests].count("/api/pull") for node in (a, b)]
    assert pulls == [0, 1]


async def test_a_request_waits_its_time_for_a_pull_and_the_pull_goes_on(tmp_path: Path) -> None:
    with FakeOllama(models=[Model("tiny")], registry=[NEW], step_seconds=0.2) as node:
        router = {"auto_pull": True, "timeouts": {"first_token": 0.3}}
        async with asking({"a": ollama(node)}, tmp_path, router=router) as (client, _):
            early = await chat(client, "new:1b")

            async def late() -> bool:
                return (await chat(client, "new:1b")).status_code == 200

            await until(late)

    assert early.status_code == 503
    assert "is being pulled" in early.json()["error"]["message"]
    assert "retry-after" in early.headers
    assert [seen.route for seen in node.requests].count("/api/pull") == 1


async def test_for_requests_two_models_at_once_are_pulled_and_the_others_wait_their_turn(
    tmp_path: Path,
) -> None:
    names = [f"new{number}:1b" for number in range(5)]
    with FakeOllama(
        models=[Model("tiny")], registry=[Model(name) for name in names], step_seconds=0.05
    ) as node:
        async with asking({"a": ollama(node)}, tmp_path, router={"auto_pull": True}) as (client, r):
            asked = asyncio.gather(*(chat(client, name) for name in names))
            most = 0
            while not asked.done():
                most = max(most, len(models_of(r)._pulls))
                await asyncio.sleep(0.01)
            answers = await asked

    assert {answer.status_code for answer in answers} == {200}
    assert most == 2


async def test_who_waits_in_vain_for_a_turn_to_pull_is_told_when_to_come_back(
    tmp_path: Path,
) -> None:
    names = [f"new{number}:1b" for number in range(6)]
    with FakeOllama(
        models=[Model("tiny")], registry=[Model(name) for name in names], step_seconds=1.0
    ) as node:
        router = {"auto_pull": True, "timeouts": {"first_token": 0.3}}
        async with asking({"a": ollama(node)}, tmp_path, router=router) as (client, _):
            answers = await asyncio.gather(*(chat(client, name) for name in names))

    told = sorted(answer.json()["error"]["message"].partition(" ")[2] for answer in answers)
    assert {answer.status_code for answer in answers} == {503}
    assert all("retry-after" in answer.headers for answer in answers)
    assert told[:2] == ["is being pulled; ask again in a while"] * 2
    assert set(told[2:]) == {"waits for other models that are being pulled; ask again in a while"}
    assert [seen.route for seen in node.requests].count("/api/pull") == 2


@pytest.mark.parametrize(
    ("name", "pulled"),
    [
        ("new", True),
        ("New-1.5_b:Q4_K.m", True),
        ("me/new:1b", True),
        ("evil.example.com:99/x/y", False),
        ("evil.example.com:99/y", False),
        ("evil.example.com/y", False),
        ("evil/x/y", False),
        ("hf.co/x/y:q4", False),
        ("http://evil.example.com/x", False),
        ("//evil/x", False),
        ("../x", False),
        ("a/../x", False),
        ("new b", False),
        ("new\n", False),
        ("new:", False),
        ("n\u00e9w", False),
        ("n" * 300, False),
    ],
)
async def test_a_request_makes_nobody_pull_from_a_host_that_it_names(
    tmp_path: Path, name: str, pulled: bool
) -> None:
    with FakeOllama(models=[Model("tiny")], registry=[]) as node:
        async with asking({"a": ollama(node)}, tmp_path, router={"auto_pull": True}) as (client, _):
            answer = await chat(client, name)

    assert answer.status_code == 404
    assert [seen.route for seen in node.requests].count("/api/pull") == pulled
