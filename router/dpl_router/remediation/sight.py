"""The fleet as cordons by alerts see it: who serves what, and how a node is."""

import time
from collections.abc import Sequence

from dpl_router.control import NO_ANSWER, Control
from dpl_router.nodes.cordons import Cordon, Cordons
from dpl_router.remediation.evidence import Active, Health, Seen, health
from dpl_router.remediation.floor import Fleet, Member
from dpl_router.remediation.payload import name_of
from dpl_router.scheduling.core import SchedulerCore
from dpl_router.scheduling.health import Circuit
from dpl_router.scheduling.types import NodeFacts
from dpl_router.telemetry.alerts import pending_or_firing
from dpl_router.telemetry.sample import NodeSample, PeopleSample
from dpl_router.telemetry.view import FleetView


class FloorNow:
    """`members` None: not all were asked yet, and nobody can tell; the review makes up for it.
    `listed`: whom nodes.yaml cordons."""

    def __init__(
        self, members: Sequence[Member] | None, listed: frozenset[str], cordons: Cordons
    ) -> None:
        self._bare = {member.node: member for member in members or ()}
        self._known = members is not None
        self._fleet = Fleet(self._bare.values())
        self._listed = listed
        self._cordons = cordons
        self._turn = -1
        self._people: frozenset[str] = frozenset()
        self._alerted: frozenset[str] = frozenset()
        self._said: dict[str, str | None] = {}
        """Of this turn, since many alerts may be about one node."""

    def against(self, node: str) -> str | None:
        """Why no alert may cordon it. Nothing is taken from the fleet where people did so."""
        self._follow()
        if not self._known or node in self._people:
            return None
        if node not in self._said:
            self._said[node] = self._fleet.against(node)
        return self._said[node]

    def _follow(self) -> None:
        if self._turn == self._cordons.turn:
            return
        self._turn = self._cordons.turn
        people, alerted = self._listed | self._cordons.by_people(), self._cordons.alerted()
        changed = (people ^ self._people) | (alerted ^ self._alerted)
        self._people, self._alerted = people, alerted
        for node in changed & self._bare.keys():
            bare = self._bare[node]
            serving = bare.serving and node not in people
            self._fleet.put(Member(node, bare.models, serving, node in alerted))
        if changed:
            self._said.clear()


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

    def nodes(self) -> frozenset[str]:
        """Those of nodes.yaml."""
        return frozenset(one.name for one in self._view.inventory.nodes)

    def ready(self) -> bool:
        """Each node was asked once: before that nobody seems to serve."""
        return self._view.asked_all()

    def busy(self, node: str) -> int:
        return self._core.busy(node)

    def floor(self) -> FloorNow:
        """Whom alerts may cordon. The nodes are looked at once, here; cordons are followed."""
        return FloorNow(self._members() if self.ready() else None, self.listed(), self._cordons)

    def listed(self) -> frozenset[str]:
        """Whom nodes.yaml cordons."""
        return frozenset(node.name for node in self._view.inventory.nodes if node.cordoned)

    def _members(self) -> list[Member]:
        """As if nobody were cordoned."""
        now = time.monotonic()
        circuits = self._core.circuits(now)
        return [
            Member(
                facts.node,
                frozenset(name for name, model in facts.models.items() if not model.differs),
                self._serves(facts) and circuits.get(facts.node) != Circuit.OPEN,
                alerted=False,
            )
            for facts in self._view.facts(now)
        ]

    def _serves(self, facts: NodeFacts) -> bool:
        check = self._view.check(facts.node)
        answers = check is not None and check.ok and facts.up is not False
        return answers and not facts.exclusive

    async def active(self) -> Active | None:
        """Alerts as Prometheus holds them now; None where its word is not to be had."""
        if self._prometheus is None:
            return ()
        if self._view.mode != "promql":
            return None
        try:
            told = await pending_or_firing(self._prometheus)
        except NO_ANSWER:
            return None
        return frozenset((name_of(alert), node) for alert, node in told)

    def health(self, cordon: Cordon, active: Active | None) -> Health:
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
