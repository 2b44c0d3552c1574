"""What an operator is told of the router itself, and of what is wrong."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry

from dpl_router.diagnostics.chain import Chain, Health
from dpl_router.diagnostics.checks import Doctor
from dpl_router.diagnostics.info import without_secrets
from dpl_router.inventory import types as inventory
from dpl_router.listing import Listed
from dpl_router.metrics import RouterMetrics
from dpl_router.scheduling.core import make_core
from dpl_router.scheduling.types import Config, Demand, NodeConfig
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.view import FleetView
from tests.fakes.ollama import FakeOllama, Model
from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import Node, running_router, until
from tests.fakes.wire import Peer, served

DEAD = "http://127.0.0.1:9"


async def findings(client: httpx.AsyncClient) -> dict[str | None, list[dict[str, Any]]]:
    """By node."""
    told: dict[str | None, list[dict[str, Any]]] = {}
    for finding in (await client.get("/api/debug/diagnosis")).json()["findings"]:
        told.setdefault(finding["node"], []).append(finding)
    return told


async def test_the_info_holds_versions_modes_and_counts_and_no_secret(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "api_key": "file:key"}, "b": DEAD}
        (tmp_path / "key").write_text("sk-node-secret")
        prometheus = DEAD.replace("//", "//me:pass-word@")
        async with running_router(
            nodes, folder=tmp_path, prometheus_url=prometheus, api_key="sk-own-secret"
        ) as router:
            async with router.client() as client:
                answer = await client.get("/api/debug/info")

    info = answer.json()
    assert (info["counts"]["nodes"], info["counts"]["online"], info["counts"]["models"]) == (
        2,
        1,
        1,
    )
    assert info["modes"]["prometheus"] == DEAD
    assert info["modes"]["scheduling"] == "blind"
    assert info["modes"]["keys"] is False
    assert "litestar" in info["versions"]["parts"]
    assert "secret" not in answer.text
    assert "pass-word" not in answer.text


async def test_every_node_is_in_the_diagnosis_and_a_well_one_is_ok(tmp_path: Path) -> None:
    with FakeOpenAi() as well, FakeOllama(models=[]) as empty:
        nodes: dict[str, Node] = {
            "well": well.url,
            "dead": {"url": DEAD, "exporter": DEAD},
            "cordoned": {"url": well.url, "cordoned": True},
            "empty": {"url": empty.url, "kind": "ollama"},
        }
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                told = await findings(client)

    assert set(told) == {"well", "dead", "cordoned", "empty", None}
    assert [one["severity"] for one in told["well"]] == ["ok"]
    assert told["well"][0]["evidence"] == "answers, 1 model loaded"
    assert [one["severity"] for one in told["dead"]] == ["critical", "warning"]
    assert "connecting failed" in told["dead"][0]["evidence"]
    assert f"curl {DEAD}/v1/models" in told["dead"][0]["remedy"]
    assert "curl http://127.0.0.1:9/metrics" in told["dead"][1]["remedy"]
    assert [one["severity"] for one in told["cordoned"]] == ["info"]
    assert [one["what"] for one in told["empty"]] == ["it serves no model"]


async def test_names_that_lead_nowhere_or_to_different_weights_are_found(tmp_path: Path) -> None:
    with (
        FakeOllama(models=[Model("tiny", digest="a" * 64), Model("big:1b-cloud")]) as a,
        FakeOllama(models=[Model("tiny", digest="b" * 64)]) as b,
    ):
        nodes: dict[str, Node] = {
            "a": {"url": a.url, "kind": "ollama"},
            "b": {"url": b.url, "kind": "ollama", "aliases": {"ours": "huge:70b"}},
        }
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                told = await findings(client)

    assert told["a"][0]["evidence"] == "big:1b-cloud"
    assert told["b"][0]["evidence"] == "ours → huge:70b"
    differing = [one for one in told[None] if "not the same on all nodes" in one["what"]]
    assert [one["evidence"] for one in differing] == ["a: aaaaaaaaaaaa, b: bbbbbbbbbbbb"]


async def test_a_pin_that_decides_nothing_is_found(tmp_path: Path) -> None:
    with FakeOpenAi() as a:
        async with running_router({"a": a.url}, folder=tmp_path) as router:
            text = router.nodes_file.read_text()
            router.nodes_file.write_text(f"{text}\nweights: {{tiny: {'a' * 12}}}\n")
            async with router.client() as client:

                async def told() -> Any:
                    found = (await findings(client))[None]
                    return [one for one in found if "the pin decides nothing" in one["what"]]

                (finding,) = await until(told)

    assert finding["what"] == "no node tells weights of tiny, so the pin decides nothing"


async def test_a_refused_file_is_found_with_its_mistakes_and_where_it_lies(
    tmp_path: Path,
) -> None:
    async with running_router({"a": DEAD}, folder=tmp_path) as router:
        async with router.client() as client:
            right = router.nodes_file.read_text()
            router.nodes_file.write_text("nodes:\n  - name: a\n    ulr: x\n  - 3\n")

            async def told() -> Any:
                found = (await findings(client))[None]
                return [one for one in found if "nodes.yaml has mistakes" in one["what"]]

            (finding,) = await until(told)
            overview = (await client.get("/api/cluster/overview")).json()
            page = (await client.get("/", headers={"accept": "text/html"})).text
            router.nodes_file.write_text(right)

            async def mended() -> bool:
                now = (await client.get("/api/cluster/overview")).json()
                return not now["nodes_file_mistakes"]

            await until(mended)

    first, *_ = overview["nodes_file_mistakes"]
    assert first.startswith(f"{router.nodes_file.name}:")
    assert str(tmp_path) not in first
    assert f"{router.nodes_file}:3:" in finding["evidence"]
    assert f"dpl config check {router.nodes_file}" in finding["remedy"]
    assert "The nodes file has mistakes" in page
    assert f"{router.nodes_file.name}:" in page
    assert str(tmp_path) not in page


async def test_a_server_of_another_kind_is_told_as_such(tmp_path: Path) -> None:
    with FakeOpenAi() as other:
        nodes: dict[str, Node] = {"a": {"url": other.url, "kind": "ollama"}}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                (finding,) = (await findings(client))["a"]

    assert finding["what"] == "it answers, but not as ollama"
    assert f"GET {other.url}/api/tags" in finding["evidence"]
    assert "try kind: auto" in finding["remedy"]


async def test_a_dead_node_is_one_finding_that_tells_of_its_circuit(tmp_path: Path) -> None:
    nodes: dict[str, Node] = {"a": {"url": DEAD, "kind": "ollama"}}
    async with running_router(nodes, folder=tmp_path, check_interval=0.2) as router:
        async with router.client() as client:

            async def told() -> Any:
                found = (await findings(client))["a"]
                return found if "its circuit is open" in found[0]["evidence"] else None

            found = await until(told)

    assert [one["severity"] for one in found] == ["critical"]
    assert "connecting failed" in found[0]["evidence"]
    assert f"curl {DEAD}/api/tags" in found[0]["remedy"]


def doctor(chain: Chain, silent: float | None = None, held: int = 0) -> Doctor:
    """Of a node `a` with one place and one model, `tiny`, at which a request is open."""
    metrics = RouterMetrics(CollectorRegistry())
    node, core = inventory.Node("a", "http://a", slots=1), make_core(Config((NodeConfig("a", 1),)))
    view = FleetView(inventory.Inventory((node,)), metrics.view)
    view.on_check("a", Check(True, (Listed("tiny", loaded=True),)))
    core.on_facts(view.facts(0.0), 0.0)
    core.on_dispatch("1", Demand("1", "tiny", 10, 0.0), "a", 0.0)
    for number in range(held):
        core.on_hold(Demand(f"held-{number}", "tiny", 10, 0.0), "a", 0.0)
    return Doctor(
        view,
        core,
        lambda: (),
        lambda _: (),
        lambda _: None,
        {},
        lambda _, __: silent,
        chain,
        keys=True,
        nodes_file=Path("nodes.yaml"),
    )


def chain(prometheus: Health = "ok", alertmanager: Health = "ok", silent: bool = False) -> Chain:
    return Chain(lambda: prometheus, lambda: alertmanager, lambda: "refused", lambda _: silent)


@pytest.mark.parametrize(
    ("broken", "what", "remedy"),
    [
        (chain(prometheus="down"), "Prometheus gives no fresh facts", "dpl stack start prometheus"),
        (
            chain(alertmanager="down"),
            "Alertmanager does not answer",
            "dpl stack start alertmanager",
        ),
        (chain(silent=True), "the alarm chain is silent", "dpl stack status"),
    ],
)
def test_whoever_does_not_watch_any_more_is_found(broken: Chain, what: str, remedy: str) -> None:
    (finding,) = [one for one in doctor(broken).diagnosis().findings if one.node is None]

    assert finding.severity in ("warning", "critical")
    assert finding.what.startswith(what)
    assert finding.remedy.startswith(remedy)


def test_what_watches_or_is_not_set_up_is_no_finding() -> None:
    starting = doctor(chain("starting", "starting")).diagnosis().findings
    without = doctor(chain("none", "none")).diagnosis().findings

    assert [one.node for one in doctor(chain()).diagnosis().findings] == ["a"]
    assert [one.node for one in starting] == ["a"]
    assert [one.evidence for one in without if one.node is None] == ["mode blind"]


def test_a_node_that_says_nothing_or_is_full_is_found() -> None:
    well, hung = doctor(chain()), doctor(chain(), silent=83.2, held=2)

    assert [one.severity for one in well.diagnosis().findings] == ["ok"]
    assert [(one.severity, one.what) for one in hung.diagnosis().findings] == [
        ("warning", "no word for 83 s, 1 request open"),
        ("info", "full, 2 waiting"),
    ]


async def test_an_exporter_that_does_not_know_our_key_is_found(tmp_path: Path) -> None:
    async def refuse(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    with FakeOpenAi(tokens=["word "] * 40) as node:
        async with served(refuse) as exporter:
            nodes: dict[str, Node] = {"a": {"url": node.url, "exporter": exporter}}
            async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
                node.faults = Faults(token_delay=0.02)
                body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
                await client.post("/v1/chat/completions", json=body)
                told = (await findings(client))["a"]

    (leases,) = [one for one in told if "refuses us leases" in one["what"]]
    assert leases["evidence"] == f"{exporter}/lock answered 401"
    assert "set exporter_key" in leases["remedy"]


async def test_only_an_operator_is_told(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    row = {"name": "u", "role": "user", "sha256": hashlib.sha256(b"u").hexdigest()}
    keys.write_text(yaml.safe_dump({"keys": [row]}))
    async with running_router({"a": DEAD}, folder=tmp_path, keys_file=keys) as router:
        async with router.client("u") as client:
            for path in ("info", "diagnosis"):
                assert (await client.get(f"/api/debug/{path}")).status_code == 403


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, None),
        ("http://h:9090", "http://h:9090"),
        ("https://me:pw@h:9090/x?token=y", "https://h:9090"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_secret(url: str | None, shown: str) -> None:
    assert without_secrets(url) == shown
