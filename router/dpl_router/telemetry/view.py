"""The fleet as last known, with its age: what every decision and every page reads."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

import structlog

from dpl_router.inventory.aliases import untagged
from dpl_router.inventory.discovery import engine_page
from dpl_router.inventory.types import Inventory, Node
from dpl_router.listing import Listed
from dpl_router.metrics import Mode, ViewMetrics
from dpl_router.scheduling.types import ModelFacts, NodeFacts
from dpl_router.telemetry.bars import Bars
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.facts import Known, models_of, node_facts
from dpl_router.telemetry.lists import Lists
from dpl_router.telemetry.moved import Moved
from dpl_router.telemetry.odd import OddNodes
from dpl_router.telemetry.reloads import Reloads
from dpl_router.telemetry.sample import NodeSample, PeopleSample

STALE_SCRAPES = 3

log = structlog.get_logger()


class FleetView:
    """Samples and own checks in; `NodeFacts` for the core out. No network here."""

    def __init__(
        self, inventory: Inventory, metrics: ViewMetrics, *, scrape_interval: float = 5.0
    ) -> None:
        self._metrics = metrics
        self._stale_after = STALE_SCRAPES * scrape_interval
        self._samples: dict[str, NodeSample] = {}
        self._people: dict[str, PeopleSample] = {}
        self._checks: dict[str, Check] = {}
        self._bars = Bars()
        self._moved = Moved()
        self.mode: Mode = "blind"
        self.promql_at: float | None = None
        """When Prometheus told facts last, on the monotonic clock."""
        self.inventory = inventory
        self.lists = Lists(inventory)
        self.names = self.lists.names
        self.reloads = Reloads()
        self._odd = OddNodes(self.lists, self._people)

    def reload(self, inventory: Inventory) -> None:
        """What is known of a node that stays is kept; not what another machine's exporter said."""
        for node in self._moved.reload(self.inventory, inventory, time.monotonic()):
            self._samples.pop(node, None)
            self._people.pop(node, None)
        names = {node.name for node in inventory.nodes}
        self._bars.forget(frozenset(node.name for node in self.inventory.nodes) - names)
        for known in (self._samples, self._people, self._checks):
            for node in known.keys() - names:
                del known[node]
        self.inventory = inventory
        self.reloads.forget(names)
        self.lists.reload(inventory, self._samples)
        self._odd.judge_anew()

    def bar(self, cordoned: frozenset[str], locked: frozenset[str], now: float) -> None:
        """Who is cordoned or locked by us; nodes.yaml's own are cordoned in any case."""
        named = {node.name for node in self.inventory.nodes if node.cordoned}
        self._bars.change(cordoned | named, locked, now)

    def on_samples(self, mode: Mode, samples: Mapping[str, NodeSample], now: float) -> None:
        """A node without a sample time in this answer keeps its last sample, which ages."""
        if mode != self.mode:
            log.info("mode changed", before=self.mode, now=mode)
        self.mode = mode
        if mode == "promql":
            self.promql_at = now
        for node, sample in samples.items():
            if sample.sampled_at is not None and self._moved.arrived(node, sample.sampled_at):
                sample.models = self.lists.first(node, sample.models)
                self._samples[node] = sample
        self._list(samples)
        newest = max((s.sampled_at or 0.0 for s in self._samples.values()), default=None)
        self._metrics.mode(mode)
        self._metrics.snapshot_nodes.set(sum(self.fresh(node, now) for node in self._samples))
        if newest is not None:
            self._metrics.snapshot_timestamp.set(time.time() - (now - newest))

    def on_people(self, people: Mapping[str, PeopleSample]) -> None:
        for node, sample in people.items():
            if self._moved.waits(node):
                continue
            before = self._people.get(node)
            if sample.cpu is None and before is not None:
                sample.cpu = _busy_share(before, sample)
            self._odd.on_people(before, sample)
            self._people[node] = sample

    def on_check(self, node: str, check: Check) -> None:
        """A node that does not answer keeps the models that it had."""
        known = self._checks.get(node)
        if not check.ok and known is not None:
            check = replace(check, models=known.models, at=known.at)
        before = self.lists.look(node)
        look = self.lists.looked(node, check.models)
        self._odd.on_look(before, look)
        self._checks[node] = replace(check, models=tuple(look.values()))
        if check.ok:
            self.reloads.looked(node, self._checks[node].models, check.at)
        self._list((node,))

    def _list(self, nodes: Iterable[str]) -> None:
        """What these nodes serve may have changed."""
        if self.lists.update(nodes, self._samples):
            self._odd.judge_anew()

    def fresh(self, node: str, now: float) -> bool:
        """The node's sample is younger than three scrapes."""
        age = self.age(node, now)
        return age is not None and age <= self._stale_after

    def any_fresh(self, samples: Mapping[str, NodeSample], now: float) -> bool:
        """Whether an answer is worth going by: of the nodes that tell something one is fresh."""
        nodes = self.inventory.nodes
        watched = [node.name for node in nodes if node.exporter or engine_page(node)]
        if not watched:
            return True
        times = (samples[name].sampled_at for name in watched if name in samples)
        return any(at is not None and now - at <= self._stale_after for at in times)

    def age(self, node: str, now: float) -> float | None:
        """Seconds since the node was measured; None where it never was."""
        sample = self._samples.get(node)
        if sample is None or sample.sampled_at is None:
            return None
        return max(0.0, now - sample.sampled_at)

    def sample(self, node: str) -> NodeSample | None:
        return self._samples.get(node)

    def people(self, node: str) -> PeopleSample | None:
        return self._people.get(node)

    def check(self, node: str) -> Check | None:
        return self._checks.get(node)

    def seen(self) -> dict[str, list[str]]:
        """Node -> the names of the models that it listed when we last asked."""
        return {
            node: [model.name for model in check.models] for node, check in self._checks.items()
        }

    def asked_all(self) -> bool:
        """Each node was asked once, whether it answered or not."""
        return all(node.name in self._checks for node in self.inventory.nodes)

    def facts(self, now: float) -> list[NodeFacts]:
        """The whole fleet for the core."""
        return self.facts_of(self.inventory.nodes, now)

    def facts_of(self, nodes: Iterable[Node], now: float) -> list[NodeFacts]:
        odd = self.odd()
        return [self._facts_of(node, odd, now) for node in nodes]

    def model_names(self) -> list[str]:
        """Every name by which some node serves a model, loaded or not."""
        return self.names.all()

    def listed(self, node: str, name: str) -> Listed:
        """What the node says of a model of ours."""
        return self.lists.listed(node, name)

    def odd(self) -> Mapping[str, frozenset[str]]:
        """Model -> the nodes on which its name means other weights; only where there are any."""
        return self._odd.odd(self.inventory)

    def models_with_weights(self) -> set[str]:
        """Our names, untagged, of the models of which some node tells the digest of weights."""
        return {
            untagged(name)
            for node in self.inventory.nodes
            if (people := self._people.get(node.name)) is not None
            for name, (own, _) in self.names.on(node.name).items()
            if own in people.weights
        }

    def models(self, now: float) -> dict[str, list[tuple[str, ModelFacts]]]:
        """Model name -> (node, facts), over all nodes; names sorted."""
        merged: dict[str, list[tuple[str, ModelFacts]]] = {}
        for facts in self.facts(now):
            for name, model in facts.models.items():
                merged.setdefault(name, []).append((facts.node, model))
        return dict(sorted(merged.items()))

    def _facts_of(self, node: Node, odd: Mapping[str, frozenset[str]], now: float) -> NodeFacts:
        name = node.name
        known = Known(
            sample=self._samples.get(name) or NodeSample(),
            fresh=self.fresh(name, now),
            people=self._people.get(name) or PeopleSample(),
            check=self._checks.get(name),
            look=self.lists.look(name),
        )
        models = models_of(name, known, self.names.on(name), odd)
        return node_facts(node, known, dict(models), self._bars, now)


def _busy_share(before: PeopleSample, after: PeopleSample) -> float | None:
    """CPU in use between two direct readings; the last one known where they do not differ."""
    if before.cpu_seconds is None or after.cpu_seconds is None:
        return before.cpu
    idle = after.cpu_seconds[0] - before.cpu_seconds[0]
    total = after.cpu_seconds[1] - before.cpu_seconds[1]
    return min(1.0, max(0.0, 1 - idle / total)) if total > 0 else before.cpu
