"""A board of pages over a fleet that a test makes up."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from dpl_router.fleet.service import Fleet
from dpl_router.inventory.types import Inventory, Node
from dpl_router.listing import Listed
from dpl_router.metrics import Mode, RouterMetrics
from dpl_router.nodes.cordons import Cordons
from dpl_router.nodes.locks import Lock
from dpl_router.pages.alert_watch import AlertWatch
from dpl_router.pages.board import Board, Page
from dpl_router.pages.engine import make_engine
from dpl_router.pages.scene import Scenery
from dpl_router.pages.words import state_words
from dpl_router.remediation.dead_man import DeadMan
from dpl_router.scheduling.core import make_core
from dpl_router.scheduling.types import Config, NodeConfig
from dpl_router.telemetry.alerts import Alert
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.sample import NodeSample, PeopleSample
from dpl_router.telemetry.view import FleetView


@dataclass
class Stage:
    """A board over a fleet that the test makes up."""

    names: Sequence[str] = ("a", "b")
    promql: bool = False
    watch: AlertWatch = field(default_factory=lambda: AlertWatch(None))
    settle: float = 0.0
    silence: float | None = None

    def __post_init__(self) -> None:
        metrics = RouterMetrics(CollectorRegistry())
        nodes = tuple(
            Node(name, f"http://{name}", exporter=f"http://{name}:8001") for name in self.names
        )
        core = make_core(Config(tuple(NodeConfig(name) for name in self.names)))
        self.view = FleetView(Inventory(nodes), metrics.view)
        self.dead_man = DeadMan(metrics.view, awaited=self.watch.configured)
        self.cordons = Cordons()
        self.lock: Lock | None = None
        fleet = Fleet(
            self.view,
            core,
            self.cordons.on,
            lambda _: self.lock,
            silence=lambda _, __: self.silence,
        )
        scenery = Scenery(
            fleet, self.view, self.watch, self.dead_man, promql=self.promql, settle=self.settle
        )
        engine = make_engine()
        self.rendered: list[str] = []
        """The reason of each row that was rendered."""

        def counted(reason: str) -> tuple[str, str]:
            self.rendered.append(reason)
            return state_words(reason)

        engine.filters["state_words"] = counted
        self.board = Board(scenery, engine)

    def page(self, name: Page) -> str:
        return asyncio.run(self.board.page(name))

    def since(self, name: Page, seen: int) -> dict[str, str]:
        return asyncio.run(self.board.since(name, seen))

    def checked(self, *models: str, ok: bool = True) -> "Stage":
        for name in self.names:
            self.view.on_check(
                name, Check(ok, tuple(map(Listed, models)), None if ok else "no answer")
            )
        return self

    def sampled(self, mode: Mode, ago: float = 0.0, **people: float | int) -> "Stage":
        now = time.monotonic()
        self.view.on_samples(
            mode, {name: NodeSample(sampled_at=now - ago, up=True) for name in self.names}, now
        )
        self.view.on_people({name: PeopleSample(**people) for name in self.names})  # type: ignore[arg-type]
        return self

    def alerting(self, *alerts: Alert, problem: str | None = None) -> "Stage":
        self.watch.configured = True
        self.watch.alerts, self.watch.read_at = alerts, time.monotonic()
        self.watch.problem = problem
        return self


def an_alert(summary: str = "it is down", node: str | None = "a", silenced: bool = False) -> Alert:
    return Alert("DplNodeDown", "critical", summary, "", node, "2026-01-02T03:04:05Z", silenced)
