"""The fleet as cordons by alerts see it: who serves what, and how a node is."""

import time
from collections.abc import Sequence

from dpl_router.control import NO_ANSWER, Control
from dpl_router.nodes.cordons import Cordon, Cordons
from dpl_router.remediation.evidence import Active, Health, Seen, health
from dpl_router.remediation.floor import Member, against
from dpl_router.scheduling.core import SchedulerCore
from dpl_router.scheduling.health import Circuit
from dpl_router.scheduling.types import NodeFacts
from dpl_router.telemetry.alerts import pending_or_firing
from dpl_router.telemetry.sample import NodeSample, PeopleSample
from dpl_router.telemetry.view import FleetView


class Sight:
    """`prometheus` None: there is none, and evidence is what the exporters say alone."""

    def __init__(
        self, view: FleetView, core: SchedulerCore, cordons: Cordons, prometheus: Control | None
    ) -> None:
        self._view = view
        self._core = core
        self._cordons = cordons
        self._prometheus = prometheus

    def knows(self, node: str) -> bool:
        return any(one.name == node for one in self._view.inventory.nodes)

    def ready(self) -> bool:
        """Each node was asked once: before that nobody seems to serve."""
        return self._view.asked_all()

    def busy(self, node: str) -> int:
        return self._core.busy(node)

    def against(self, node: str) -> str | None:
        """Why no alert may cordon it. Nothing is taken from the fleet where people did so; before
        all were asked nobody can tell, and the review makes up for it."""
        if node in self._by_people() or not self.ready():
            return None
        return against(self._members(), node)

    def _by_people(self) -> frozenset[str]:
        listed = {node.name for node in self._view.inventory.nodes if node.cordoned}
        return frozenset(listed | {one.node for one in self._cordons.all() if not one.fingerprint})

    def _members(self) -> list[Member]:
        now = time.monotonic()
        circuits, people = self._core.circuits(now), self._by_people()
        alerted = {cordon.node for cordon in self._cordons.by_alerts()}
        return [
            Member(
                facts.node,
                frozenset(name for name, model in facts.models.items() if not model.differs),
                facts.node not in people
                and self._serves(facts)
                and circuits.get(facts.node) != Circuit.OPEN,
                facts.node in alerted,
            )
            for facts in self._view.facts(now)
        ]

    def _serves(self, facts: NodeFacts) -> bool:
        check = self._view.check(facts.node)
        answers = check is not None and check.ok and facts.up is not False
        return answers and not facts.exclusive

    async def active(self) -> Sequence[Active] | None:
        """Alerts as Prometheus holds them now; None where its word is not to be had."""
        if self._prometheus is None:
            return ()
        if self._view.mode != "promql":
            return None
        try:
            return [Active(*one) for one in await pending_or_firing(self._prometheus)]
        except NO_ANSWER:
            return None

    def health(self, cordon: Cordon, active: Sequence[Active] | None) -> Health:
        node = cordon.node
        sample = self._view.sample(node) or NodeSample()
        check, people = self._view.check(node), self._view.people(node) or PeopleSample()
        seen = Seen(
            fresh=self._view.fresh(node, time.monotonic()),
            up=sample.up is True and check is not None and check.ok,
            collector_age=sample.collector_age,
            gpus=people.gpus.keys(),
        )
        return health(cordon, seen, active)
