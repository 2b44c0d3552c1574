"""When an alert's cordon ends, and when it must not."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from dpl_router.control import Control
from dpl_router.inventory.types import Inventory, Node
from dpl_router.metrics import RouterMetrics
from dpl_router.nodes.cordon_file import CordonFile
from dpl_router.nodes.cordoning import Cordoning
from dpl_router.nodes.cordons import Cordon
from dpl_router.remediation.review import Review
from dpl_router.remediation.sight import Sight
from dpl_router.remediation.withheld import Withheld
from dpl_router.scheduling.core import make_core
from dpl_router.scheduling.types import Config
from dpl_router.security.audit import AuditLog
from dpl_router.telemetry.view import FleetView
from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import Node as Entry
from tests.fakes.router import running_router, until
from tests.router.pages.stage import answering, exposition
from tests.router.remediation.calls import CHAT, Floor, alert, call, fleet

NO_GPU = exposition({"tiny": True})
LASTS = 180.0


async def only(floor: Floor, *cordoned: str) -> bool:
    return await floor.cordoned() == set(cordoned)


async def test_a_silence_does_not_give_a_broken_node_back(tmp_path: Path) -> None:
    """What Alertmanager does not repeat is as broken as before."""
    async with fleet(tmp_path, "a", "b", alert_repeat=0.5) as floor:
        floor.pages["a"] = NO_GPU
        await floor.webhook(alert("a"))
        await asyncio.sleep(4.0)
        silenced = await floor.node("a")
        floor.pages["a"] = exposition({"tiny": True}, gpu=(0.1, 2.0, 24.0))
        await until(lambda: only(floor), seconds=10)
        lapsed = await floor.router.metric(
            'dpl_router_alert_actions_total{action="cordon",outcome="lapsed"}'
        )

    assert silenced["cordoned"]
    assert not silenced["cordons"][0]["resolved"]
    assert lapsed == 1


async def test_an_exporter_that_is_away_for_a_moment_gives_no_broken_node_back(
    tmp_path: Path,
) -> None:
    """It restarts with its machine, while the alert is silenced."""
    async with fleet(tmp_path, "a", "b", alert_repeat=0.8) as floor:
        floor.pages["a"] = NO_GPU
        await floor.webhook(alert("a"))
        kept = []
        for _ in range(3):  # one of these falls on the cordon's end
            floor.pages["a"] = "{"
            await asyncio.sleep(1.3)
            kept.append(await only(floor, "a"))
            floor.pages["a"] = NO_GPU
            await asyncio.sleep(0.9)
        floor.pages["a"] = "{"
        await until(lambda: only(floor), seconds=15)

    assert kept == [True] * 3


async def test_a_node_that_was_well_before_its_alert_came_back_is_not_believed_for_that(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a", "b", scrape_interval=0.75) as floor:  # well for 3 s is well
        await floor.webhook(alert("a"))
        await floor.webhook(alert("a", status="resolved"))
        await asyncio.sleep(1.7)
        await floor.webhook(alert("a"))
        await asyncio.sleep(3.0)
        await floor.webhook(alert("a"), alert("a", status="resolved"))
        began = time.monotonic()
        await until(lambda: only(floor), seconds=15)
        seconds = time.monotonic() - began

    assert seconds > 2.5


async def test_nothing_is_believed_from_before_an_operators_uncordon(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b", scrape_interval=0.75) as floor:
        await floor.webhook(alert("a"))
        await floor.webhook(alert("a", status="resolved"))
        await asyncio.sleep(1.7)
        await floor.client.post("/api/nodes/a/uncordon")
        await asyncio.sleep(3.0)
        await floor.webhook(alert("a"), alert("a", status="resolved"))
        began = time.monotonic()
        await until(lambda: only(floor), seconds=15)
        seconds = time.monotonic() - began

    assert seconds > 2.5


async def test_who_is_needed_again_comes_back_from_all_its_alerts_and_nobody_else_does(
    tmp_path: Path,
) -> None:
    """The newest alert is about a node that an older one keeps out in any case."""
    async with fleet(tmp_path, "a", "b", "c", "d") as floor:
        await floor.webhook(alert("a", mark="a1"))
        await floor.webhook(alert("b", mark="b1"))
        await floor.webhook(alert("a", mark="a2"))
        for node in ("c", "d"):
            await floor.client.post(f"/api/nodes/{node}/cordon")
        await until(lambda: only(floor, "a", "c", "d"), seconds=10)
        left = (await floor.node("a"))["cordons"]

    assert [cordon["by"] for cordon in left] == ["DplGpuMissing", "DplGpuMissing"]


async def test_an_alert_that_the_floor_refuses_now_gives_its_node_back(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        await floor.webhook(alert("a"))
        await floor.client.post("/api/nodes/b/cordon")
        again = await floor.webhook(alert("a"))
        await until(lambda: only(floor, "b"), seconds=10)
        overruled = await floor.router.metric(
            'dpl_router_alert_actions_total{action="cordon",outcome="overruled"}'
        )

    assert again == [("a", "floor")]
    assert overruled == 1


# A clock that is set.


class Watched:
    """One node of which nothing is known, cordoned by an alert; `wall` may be set."""

    def __init__(self, folder: Path, lasts: float = LASTS) -> None:
        self.ahead = 0.0
        metrics = RouterMetrics(CollectorRegistry())
        view = FleetView(Inventory((Node("a", "http://h"),)), metrics.view)
        file = CordonFile(folder / "cordons.json")
        self.cordoning = Cordoning(file, self.wall, metrics.alerting)
        self.review = Review(
            self.cordoning,
            Sight(view, make_core(Config(())), self.cordoning.now, None),
            metrics.alerting,
            AuditLog(folder / "audit.jsonl", self.wall),
            Withheld(lasts),
            lasts=lasts,
            steady=0.0,
        )
        self.lasts = lasts
        self.repeat()

    def repeat(self) -> None:
        """The alert comes, or comes again."""
        now = self.wall()
        self.cordoning.by_alert(
            Cordon("a", "alert", "X", since=now, until=now + self.lasts, fingerprint="f1")
        )

    def wall(self) -> float:
        return time.monotonic() + self.ahead

    def left(self) -> float:
        """Seconds until the end of the cordon; 0.0 where there is none."""
        found = self.cordoning.now.get("a", "f1")
        return found.until - self.wall() if found is not None and found.until is not None else 0.0


async def test_a_clock_that_is_set_neither_ends_nor_prolongs_a_cordon(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    left = []
    for step in (0.0, 3600.0, -7200.0):
        watched.ahead += step
        await watched.review.look()
        left.append(watched.left())

    assert min(left) > LASTS - 60
    assert max(left) <= LASTS


async def test_a_clock_that_is_set_back_before_a_repeat_does_not_undo_it(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    await watched.review.look()
    watched.ahead -= 3600
    watched.repeat()
    await watched.review.look()

    assert LASTS - 60 < watched.left() <= LASTS


async def test_without_facts_a_cordon_ends_at_its_time(tmp_path: Path) -> None:
    watched = Watched(tmp_path, lasts=0.3)
    await watched.review.look()
    before = watched.cordoning.now.nodes()
    await asyncio.sleep(0.35)
    await watched.review.look()

    assert before == {"a"}
    assert watched.cordoning.now.nodes() == frozenset()


# What Prometheus holds.


async def test_a_name_is_known_again_however_it_is_written(tmp_path: Path) -> None:
    """The webhook's words are cut and made one line; Prometheus's come as the rule has them."""
    rule = "My  GPU " + "x" * 300
    held = [{"labels": {"alertname": rule, "node": "a"}, "state": "firing"}]
    answer = json.dumps({"status": "success", "data": {"alerts": held}})
    metrics = RouterMetrics(CollectorRegistry())
    view = FleetView(Inventory((Node("a", "http://h"),)), metrics.view)
    view.on_samples("promql", {}, time.monotonic())

    async with answering(lambda: answer) as url, fleet(tmp_path, "a", "b") as floor:
        await floor.webhook(alert("a", name=rule))
        (cordon,) = (await floor.node("a"))["cordons"]
        prometheus = Control(url)
        cordoning = Cordoning(CordonFile(tmp_path / "c.json"), time.time, metrics.alerting)
        sight = Sight(view, make_core(Config(())), cordoning.now, prometheus)
        active = await sight.active()
        await prometheus.close()

    assert active == {(cordon["by"], "a")}


# What waits on a node that an alert takes out.


async def test_what_waits_for_its_first_word_goes_elsewhere_when_an_alert_takes_the_node_out(
    tmp_path: Path,
) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        nodes = {"a": a.url, "b": b.url}
        async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
            waiting = await _on_a(client, a, Faults(hang="before_head"), stream=True)
            told = await client.post("/alertmanager/webhook", json=call(alert("a")))
            answer = await asyncio.wait_for(waiting, 10)
            circuit = await router.metric('dpl_router_circuit_state{node="a"}')

    assert told.json()["outcomes"][0]["outcome"] == "cordoned"
    assert answer.status_code == 200
    assert answer.headers["x-dpl-node"] == "b"
    assert circuit == 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["openai", "llamacpp"])
async def test_what_may_have_begun_ends_where_it_is_when_an_alert_takes_the_node_out(
    tmp_path: Path, kind: str, stream: bool
) -> None:
    """Of a plain answer nothing is heard while it is written."""
    with FakeOpenAi(tokens=["word "] * 12) as a, FakeOpenAi() as b:
        nodes: dict[str, Entry] = {
            name: {"url": one.url, "kind": kind} for name, one in (("a", a), ("b", b))
        }
        async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
            writing = await _on_a(client, a, Faults(token_delay=0.1), stream=stream)
            await asyncio.sleep(0.5)
            told = await client.post("/alertmanager/webhook", json=call(alert("a")))
            answer = await asyncio.wait_for(writing, 10)

    assert told.json()["outcomes"][0]["outcome"] == "cordoned"
    assert answer.headers["x-dpl-node"] == "a"
    assert answer.text.count("word ") == 12
    assert "error" not in answer.text
    assert b.chats == []


async def test_what_waits_for_its_first_word_stays_where_an_operator_cordons_the_node(
    tmp_path: Path,
) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        nodes = {"a": a.url, "b": b.url}
        async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
            waiting = await _on_a(client, a, Faults(head_delay=1.0))
            await client.post("/api/nodes/a/cordon")
            answer = await asyncio.wait_for(waiting, 10)

    assert answer.headers["x-dpl-node"] == "a"


async def _on_a(
    client: httpx.AsyncClient, a: FakeOpenAi, faults: Faults, **fields: object
) -> asyncio.Task[httpx.Response]:
    """A chat that waits on node a, with both nodes free to answer."""
    await client.post("/api/nodes/b/cordon")
    a.faults = faults
    waiting = asyncio.create_task(client.post("/v1/chat/completions", json={**CHAT, **fields}))
    await until(lambda: a.chats)
    await client.post("/api/nodes/b/uncordon")
    return waiting
