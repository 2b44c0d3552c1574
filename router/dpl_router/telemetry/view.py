"""The fleet as last known, with its age: what every decision and every page reads."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import structlog

from dpl_router.inventory.types import Inventory, Node
from dpl_router.metrics import Mode, ViewMetrics
from dpl_router.scheduling.types import ModelFacts, NodeFacts
from dpl_router.telemetry.sample import ModelSample, NodeSample, PeopleSample

STALE_SCRAPES = 3
MOST_MODELS = 1000
"""Of one node; each name costs at every poll and in every list."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Check:
    """The router's own look at a node: it answered, and what it serves."""

    ok: bool
    models: tuple[str, ...] = ()
    problem: str | None = None
    """Why not, for people; None where it answered."""


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
        self._crowded: set[str] = set()
        """Nodes of which it was said that not all their models are known."""
        self.mode: Mode = "blind"
        self.inventory = inventory

    def reload(self, inventory: Inventory) -> None:
        """What is known of a node that stays is kept."""
        self.inventory = inventory
        names = {node.name for node in inventory.nodes}
        for known in (self._samples, self._people, self._checks):
            for gone in known.keys() - names:
                del known[gone]
        self._crowded &= names

    def on_samples(self, mode: Mode, samples: Mapping[str, NodeSample], now: float) -> None:
        """A node without a sample time in this answer keeps its last sample, which ages."""
        if mode != self.mode:
            log.info("mode changed", before=self.mode, now=mode)
        self.mode = mode
        for node, sample in samples.items():
            if sample.sampled_at is not None:
                kept = self._some(node, sample.models)
                sample.models = {name: sample.models[name] for name in kept}
                self._samples[node] = sample
        newest = max((s.sampled_at or 0.0 for s in self._samples.values()), default=None)
        self._metrics.mode(mode)
        self._metrics.snapshot_nodes.set(sum(self.fresh(node, now) for node in self._samples))
        if newest is not None:
            self._metrics.snapshot_timestamp.set(time.time() - (now - newest))

    def on_people(self, people: Mapping[str, PeopleSample]) -> None:
        for node, sample in people.items():
            before = self._people.get(node)
            if sample.cpu is None and before is not None:
                sample.cpu = _busy_share(before, sample)
            self._people[node] = sample

    def on_check(self, node: str, check: Check) -> None:
        """A node that does not answer keeps the models that it had."""
        known = self._checks.get(node)
        models = check.models if check.ok or known is None else known.models
        self._checks[node] = Check(check.ok, self._some(node, models), check.problem)

    def _some(self, node: str, models: Collection[str]) -> tuple[str, ...]:
        """The first `MOST_MODELS` by name, or all as they come."""
        if len(models) <= MOST_MODELS:
            return tuple(models)
        if node not in self._crowded:
            self._crowded.add(node)
            log.warning("too many models", node=node, listed=len(models), kept=MOST_MODELS)
        return tuple(sorted(models)[:MOST_MODELS])

    def fresh(self, node: str, now: float) -> bool:
        """The node's sample is younger than three scrapes."""
        age = self.age(node, now)
        return age is not None and age <= self._stale_after

    def any_fresh(self, samples: Mapping[str, NodeSample], now: float) -> bool:
        """Whether an answer is worth going by: of the nodes that have an exporter one is fresh."""
        watched = [node.name for node in self.inventory.nodes if node.exporter]
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

    def asked_all(self) -> bool:
        """Each node was asked once, whether it answered or not."""
        return all(node.name in self._checks for node in self.inventory.nodes)

    def facts(self, now: float) -> list[NodeFacts]:
        """The whole fleet for the core."""
        return [self._facts_of(node, now) for node in self.inventory.nodes]

    def model_names(self) -> list[str]:
        """Every name that some node serves, loaded or not."""
        return list(self.models(time.monotonic()))

    def models(self, now: float) -> dict[str, list[tuple[str, ModelFacts]]]:
        """Model name -> (node, facts), over all nodes; names sorted."""
        merged: dict[str, list[tuple[str, ModelFacts]]] = {}
        for facts in self.facts(now):
            for name, model in facts.models.items():
                merged.setdefault(name, []).append((facts.node, model))
        return dict(sorted(merged.items()))

    def _facts_of(self, node: Node, now: float) -> NodeFacts:
        fresh = self.fresh(node.name, now)
        sample = self._samples.get(node.name) or NodeSample()
        return NodeFacts(
            node=node.name,
            labels=node.labels,
            kind="gpu" if sample.accelerator else "cpu",
            up=sample.up if fresh else None,
            eligible=sample.eligible if fresh else None,
            sampled_at=sample.sampled_at,
            slots=sample.slots or _unsaid(node),
            memory_free=sample.memory_free if fresh else None,
            exclusive=sample.exclusive and fresh,
            cordoned=node.cordoned,
            models=dict(self._models_of(node, sample, fresh)),
            inventory_known=self._inventory_known(node.name, fresh),
        )

    def _inventory_known(self, node: str, fresh: bool) -> bool:
        check = self._checks.get(node)
        return fresh or (check is not None and (check.ok or bool(check.models)))

    def _models_of(
        self, node: Node, sample: NodeSample, fresh: bool
    ) -> Iterator[tuple[str, ModelFacts]]:
        check = self._checks.get(node.name)
        listed = check.models if check is not None else ()
        names = {name for name, model in sample.models.items() if model.loaded is not None}
        for name in sorted(names.union(listed))[:MOST_MODELS]:
            if _allowed(name, node.models):
                known = sample.models.get(name) or ModelSample()
                yield (
                    name,
                    ModelFacts(
                        loaded=known.loaded,
                        running=known.running if fresh else None,
                        waiting=known.waiting if fresh else None,
                        decode=known.decode,
                    ),
                )


def _unsaid(node: Node) -> int | None:
    """Where no exporter says: Ollama answers one request at a time unless it is told otherwise, and
    then `slots` of nodes.yaml says so."""
    return 1 if node.kind == "ollama" and node.slots is None else None


def _allowed(name: str, globs: Sequence[str]) -> bool:
    return not globs or any(fnmatchcase(name, glob) for glob in globs)


def _busy_share(before: PeopleSample, after: PeopleSample) -> float | None:
    """CPU in use between two direct readings; the last one known where they do not differ."""
    if before.cpu_seconds is None or after.cpu_seconds is None:
        return before.cpu
    idle = after.cpu_seconds[0] - before.cpu_seconds[0]
    total = after.cpu_seconds[1] - before.cpu_seconds[1]
    return min(1.0, max(0.0, 1 - idle / total)) if total > 0 else before.cpu
