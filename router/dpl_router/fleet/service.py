"""What each node is doing, said for people: from the cached view and our own count, no network."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

from dpl_router.fleet.barred import cordons_on, lock_on
from dpl_router.fleet.schemas import (
    CordonStatus,
    Gpu,
    LockStatus,
    Memory,
    ModelOnNode,
    ModelStatus,
    NodeStatus,
    Overview,
    ServedModel,
    State,
)
from dpl_router.inventory.mistakes import Mistake
from dpl_router.inventory.types import Node
from dpl_router.nodes.cordons import Cordon
from dpl_router.nodes.locks import Lock
from dpl_router.scheduling.core import SchedulerCore
from dpl_router.scheduling.health import Circuit
from dpl_router.scheduling.node import SLOTS
from dpl_router.scheduling.types import ModelFacts, NodeFacts
from dpl_router.telemetry.names import own_names
from dpl_router.telemetry.sample import PeopleSample
from dpl_router.telemetry.view import FleetView

STEP = 10
"""Seconds: a silence is told in steps, or a row would change every second."""


class Fleet:
    """Without `cordons` and `locks` there are none but those of nodes.yaml; `mistakes` are those
    of a nodes file that was refused; `silence` is how long (seconds) what is open at a node has
    said nothing at a monotonic time, None where that is nothing to speak of."""

    def __init__(
        self,
        view: FleetView,
        core: SchedulerCore,
        cordons: Callable[[str], Sequence[Cordon]] = lambda _: (),
        locks: Callable[[str], Lock | None] = lambda _: None,
        mistakes: Callable[[], Sequence[Mistake]] = lambda: (),
        silence: Callable[[str, float], float | None] = lambda _, __: None,
    ) -> None:
        self._view = view
        self._core = core
        self._cordons = cordons
        self._locks = locks
        self._mistakes = mistakes
        self._silence = silence

    def status(self) -> list[NodeStatus]:
        """Every node of nodes.yaml, in its order; answers at once with every node dead."""
        return list(self.each_status())

    def each_status(self) -> Iterator[NodeStatus]:
        """As `status`; each is of the moment at which it is asked for."""
        now = time.monotonic()
        circuits, alone = self._core.circuits(now), self._core.alone(now)
        nodes = self._view.inventory.nodes
        for node in nodes:
            [facts] = self._view.facts_of([node], now)
            yield self._node(node, facts, circuits.get(node.name, 0), alone.get(node.name), now)

    def models(self) -> list[ModelStatus]:
        """Merged over nodes, by name."""
        return self.merged(self.each_served())

    def each_served(self) -> Iterator[tuple[str, ModelOnNode]]:
        """(our name of a model, what one node says of it); likewise of the moment."""
        now = time.monotonic()
        nodes = self._view.inventory.nodes
        for node in nodes:
            [facts] = self._view.facts_of([node], now)
            yield from [
                (name, self._model_on(node.name, name, model))
                for name, model in facts.models.items()
            ]

    def merged(self, served: Iterable[tuple[str, ModelOnNode]]) -> list[ModelStatus]:
        """`served` by model, names sorted."""
        nodes: dict[str, list[ModelOnNode]] = {}
        for name, one in served:
            nodes.setdefault(name, []).append(one)
        odd = self._view.odd()
        return [
            ModelStatus(
                name=name,
                loaded=any(one.loaded and one.online for one in ones),
                nodes=ones,
                mismatch=name in odd,
            )
            for name, ones in sorted(nodes.items())
        ]

    def overview(self) -> Overview:
        return self.summed(self.status(), self.models())

    def summed(self, nodes: Sequence[NodeStatus], models: Sequence[ModelStatus]) -> Overview:
        """Where both are there already: made anew they are most of the work."""
        loads = [node.load for node in nodes if node.load is not None]
        return Overview(
            mode=self._view.mode,
            nodes=len(nodes),
            online=sum(node.online for node in nodes),
            ready=sum(node.state in ("ready", "busy") for node in nodes),
            slots=sum(node.slots or 0 for node in nodes if node.online),
            in_flight=sum(node.in_flight for node in nodes),
            queued=sum(depth for depth, _ in self._core.queues().values()),
            models=len(models),
            models_loaded=sum(model.loaded for model in models),
            load=sum(loads) / len(loads) if loads else None,
            nodes_file_mistakes=[
                str(replace(one, file=Path(one.file).name)) for one in self._mistakes()
            ],
        )

    def _node(
        self, node: Node, facts: NodeFacts, circuit: int, alone: float | None, now: float
    ) -> NodeStatus:
        people = self._view.people(node.name) or PeopleSample()
        busy = self._core.busy(node.name)
        check = self._view.check(node.name)
        online = check.ok if check is not None else facts.up is True
        slots = _slots(node, facts)
        unasked = check is None
        cordons = cordons_on(node, self._cordons(node.name))
        lock = lock_on(self._locks(node.name))
        state, reason = _barred(facts, cordons, lock) or _state(
            facts, unasked, online, circuit, busy, slots or SLOTS
        )
        silent = self._silence(node.name, now)
        if silent is not None and state in ("ready", "busy"):
            reason += f", no word for {silent // STEP * STEP:.0f} s"
        if alone is not None and state in ("ready", "busy"):
            state, reason = "busy", f"busy: it asked to be left alone for {ceil(alone)} s more"
        if state == "offline" and check is not None and check.problem:
            reason = f"offline: {check.problem}"
        running = [model.running for model in facts.models.values() if model.running is not None]
        return NodeStatus(
            name=node.name,
            url=node.url,
            kind=node.kind,
            online=online,
            state=state,
            reason=reason,
            locked=busy > 0 or bool(people.held) or facts.exclusive,
            exclusive=facts.exclusive,
            cordoned=facts.cordoned,
            cordons=cordons,
            lock=lock,
            slots=slots,
            in_flight=busy,
            running=sum(running) if running else None,
            load=people.load,
            cpu=_percent(people.cpu),
            memory=_memory(people.memory, people.memory_total),
            gpu=_gpus(people),
            models=[
                ServedModel(
                    name,
                    facts.models[name].loaded,
                    people.scores.get(place.own),
                    facts.models[name].differs,
                )
                for name, place in own_names(self._view.names.on(node.name))
                if name in facts.models
            ],
            age=self._view.age(node.name, now),
            labels=dict(node.labels),
        )

    def _model_on(self, node: str, name: str, facts: ModelFacts) -> ModelOnNode:
        people = self._view.people(node) or PeopleSample()
        own, listed = self._view.names.at(node, name).own, self._view.listed(node, name)
        check = self._view.check(node)
        return ModelOnNode(
            node=node,
            name=own,
            loaded=facts.loaded,
            context=facts.context,
            size=listed.size if listed.size is not None else people.sizes.get(own),
            digest=facts.identity,
            left_out=facts.differs,
            capabilities=_words(listed.details.get("capabilities")),
            online=check is None or check.ok,
        )


def _words(said: object) -> list[str] | None:
    """None for what is no list: it comes from a node."""
    return [word for word in said if isinstance(word, str)] if isinstance(said, list) else None


def _barred(
    facts: NodeFacts, cordons: Sequence[CordonStatus], lock: LockStatus | None
) -> tuple[State, str] | None:
    """People's and alerts' wishes come before what the node is like."""
    if facts.cordoned and cordons:
        first = cordons[0]
        by = f"alert {first.by}" if first.source == "alert" else first.by
        return "cordoned", f"cordoned by {by}: {first.why or 'nothing new is sent to it'}"
    if lock is not None:
        return "locked", f"locked by {lock.by}: {lock.why or 'nothing is sent to it'}"
    return None


def _state(
    facts: NodeFacts, unasked: bool, online: bool, circuit: int, busy: int, slots: int
) -> tuple[State, str]:
    """The gravest first: what stands in the way of the next request."""
    if not online:
        return ("unknown", "not asked yet") if unasked else ("offline", "offline: no answer")
    if facts.exclusive:
        return "locked", "locked: somebody has the whole node"
    if circuit == Circuit.OPEN:
        return "failing", "failing: requests to it failed; it is tried again soon"
    if busy >= slots:
        return "busy", f"busy, {busy} of {slots} places taken"
    if busy:
        return "ready", f"ready, {busy} of {slots} places taken"
    return "ready", "ready"


def _slots(node: Node, facts: NodeFacts) -> int | None:
    known = [slots for slots in (node.slots, facts.slots) if slots is not None]
    return min(known, default=None)


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else round(100 * ratio, 1)


def _memory(ratio: float | None, total: int | None) -> Memory:
    used = round(ratio * total) if ratio is not None and total is not None else None
    return Memory(used=used, total=total, percent=_percent(ratio))


def _gpus(people: PeopleSample) -> list[Gpu]:
    return [
        Gpu(
            index,
            _percent(gpu.utilization),
            _memory(
                gpu.memory_used / gpu.memory_total
                if gpu.memory_used is not None and gpu.memory_total
                else None,
                gpu.memory_total,
            ),
        )
        for index, gpu in sorted(people.gpus.items())
    ]
