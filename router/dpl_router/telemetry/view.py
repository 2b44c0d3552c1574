"""The fleet as last known, with its age: what every decision and every page reads."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import structlog

from dpl_router.inventory.aliases import untagged
from dpl_router.inventory.discovery import engine_page
from dpl_router.inventory.types import Inventory, Node
from dpl_router.listing import Listed
from dpl_router.metrics import Mode, ViewMetrics
from dpl_router.scheduling.types import ModelFacts, NodeFacts
from dpl_router.telemetry.bars import Bars
from dpl_router.telemetry.identity import Identities, Told, told
from dpl_router.telemetry.moved import Moved
from dpl_router.telemetry.names import Names
from dpl_router.telemetry.reloads import Reloads
from dpl_router.telemetry.sample import ModelSample, NodeSample, PeopleSample

STALE_SCRAPES = 3
MOST_MODELS = 1000
"""Of one node; each name costs at every poll and in every list."""
QUANTISATION = "quantization_level"
CAME = "modified_at"
"""In what Ollama lists of a model."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Check:
    """The router's own look at a node: it answered, and what it serves."""

    ok: bool
    models: tuple[Listed, ...] = ()
    problem: str | None = None
    """Why not, for people; None where it answered."""
    at: float = 0.0
    """When it was said what it serves, on the monotonic clock."""
    dialect: str = ""
    """In which it was spoken to."""
    stranger: bool = False
    """It answers, but with no list: it may be of another kind."""

    @property
    def serves(self) -> frozenset[tuple[str, bool | None, int | None]]:
        """What of it the choice of a node goes by."""
        return frozenset((model.name, model.loaded, model.context) for model in self.models)


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
        self._looks: dict[str, dict[str, Listed]] = {}
        """Of the checks: node -> its own name of a model -> what it says of it."""
        self._listed: dict[str, tuple[str, ...]] = {}
        """Node -> its own names of what it serves, by all sources."""
        self._first_seen: dict[str, str] = {}
        """Own name -> when some node first had it, as RFC 3339."""
        self._crowded: set[str] = set()
        """Nodes of which it was said that not all their models are known."""
        self._bars = Bars()
        self._moved = Moved()
        self._identities = Identities()
        self._odd: dict[str, frozenset[str]] | None = {}
        """Model -> nodes with other weights than it stands for; None = to be judged anew."""
        self.mode: Mode = "blind"
        self.promql_at: float | None = None
        """When Prometheus told facts last, on the monotonic clock."""
        self.inventory = inventory
        self.names = Names()
        self.reloads = Reloads()
        self._list_all()

    def reload(self, inventory: Inventory) -> None:
        """What is known of a node that stays is kept; not what another machine's exporter said."""
        for node in self._moved.reload(self.inventory, inventory, time.monotonic()):
            self._samples.pop(node, None)
            self._people.pop(node, None)
        self.inventory = inventory
        names = {node.name for node in inventory.nodes}
        for known in (self._samples, self._people, self._checks, self._looks, self._listed):
            gone = known.keys() - names
            self._bars.forget(gone)
            for node in gone:
                del known[node]
        self._forget_names()
        self._odd = None
        self._crowded &= names
        self.reloads.forget(names)
        self._list_all()

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
                kept = self._some(node, sample.models)
                sample.models = {name: sample.models[name] for name in kept}
                self._samples[node] = sample
        self._list(node for node in self.inventory.nodes if node.name in samples)
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
            if before is None or sample.weights != before.weights:
                self._odd = None
            self._people[node] = sample

    def on_check(self, node: str, check: Check) -> None:
        """A node that does not answer keeps the models that it had."""
        known = self._checks.get(node)
        if not check.ok and known is not None:
            check = replace(check, models=known.models, at=known.at)
        look = {model.name: model for model in check.models}
        if _quantisations(look) != _quantisations(self._looks.get(node, {})):
            self._odd = None
        self._looks[node] = look = {name: look[name] for name in self._some(node, look)}
        self._checks[node] = replace(check, models=tuple(look.values()))
        if check.ok:
            self.reloads.looked(node, self._checks[node].models, check.at)
        self._list(one for one in self.inventory.nodes if one.name == node)

    def _some(self, node: str, models: Mapping[str, object]) -> tuple[str, ...]:
        """The first `MOST_MODELS` by name, or all as they come."""
        if len(models) <= MOST_MODELS:
            return tuple(models)
        if node not in self._crowded:
            self._crowded.add(node)
            log.warning("too many models", node=node, listed=len(models), kept=MOST_MODELS)
        return tuple(sorted(models)[:MOST_MODELS])

    def _list_all(self) -> None:
        self._list(self.inventory.nodes)
        self.names.learn(self._listed, self.inventory)

    def _list(self, nodes: Iterable[Node]) -> None:
        """What these nodes serve may have changed."""
        came: set[str] = set()
        went: set[str] = set()
        for node in nodes:
            names = tuple(sorted(self._names_of(node))[:MOST_MODELS])
            known = self._listed.get(node.name, ())
            if names != known or node.name not in self._listed:
                came.update(names)
                went.update(known)
                self._listed[node.name] = names
        if came or went:
            self._odd = None
            now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            for name in came - self._first_seen.keys():
                self._first_seen[name] = now
            if went - came:
                self._forget_names()
            self.names.learn(self._listed, self.inventory)

    def _forget_names(self) -> None:
        """Which no node lists any more."""
        every = {name for names in self._listed.values() for name in names}
        self._first_seen = {name: at for name, at in self._first_seen.items() if name in every}

    def _names_of(self, node: Node) -> Iterator[str]:
        sample, look = self._samples.get(node.name), self._looks.get(node.name, {})
        told = sample.models.items() if sample is not None else ()
        for name in {name for name, model in told if model.loaded is not None}.union(look):
            elsewhere = name in look and look[name].remote and not node.remote_models
            if not elsewhere and may_serve(node, name):
                yield name

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
        return [self._facts_of(node, now) for node in nodes]

    def model_names(self) -> list[str]:
        """Every name by which some node serves a model, loaded or not."""
        return self.names.all()

    def known_names(self) -> set[str]:
        """Ours and the nodes' own."""
        return {*self.names.all(), *(name for names in self._listed.values() for name in names)}

    def listed(self, node: str, name: str) -> Listed:
        """What the node says of a model of ours; its own name, and when we first saw that as
        `modified_at`, where it does not say."""
        own = self.names.at(node, name).own
        listed = self._looks.get(node, {}).get(own) or Listed(own)
        if CAME in listed.details or own not in self._first_seen:
            return listed
        return replace(listed, details={**listed.details, CAME: self._first_seen[own]})

    def odd(self) -> Mapping[str, frozenset[str]]:
        """Model -> the nodes on which its name means other weights; only where there are any."""
        if self._odd is None:
            said: dict[str, dict[str, Told]] = {}
            for node in self.inventory.nodes:
                for name, (own, _) in self.names.on(node.name).items():
                    word = self._told(node.name, own)
                    if word is not None:
                        said.setdefault(name, {})[node.name] = word
            pinned = self.inventory.weights
            pins = {name: pinned[untagged(name)] for name in said if untagged(name) in pinned}
            self._odd = self._identities.odd(said, pins)
        return self._odd

    def models_with_weights(self) -> set[str]:
        """Our names, untagged, of the models of which some node tells the digest of weights."""
        return {
            untagged(name)
            for node in self.inventory.nodes
            if (people := self._people.get(node.name)) is not None
            for name, (own, _) in self.names.on(node.name).items()
            if own in people.weights
        }

    def _told(self, node: str, own: str) -> Told | None:
        people, look = self._people.get(node), self._looks.get(node, {}).get(own)
        return told(
            people.weights.get(own) if people is not None else None,
            look.details.get(QUANTISATION) if look is not None and look.digest else None,
        )

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
            eligible=self._bars.eligible(node.name, sample, now) if fresh else None,
            sampled_at=sample.sampled_at,
            slots=_said(node, sample) or _unsaid(node, self._checks.get(node.name)),
            memory_free=sample.memory_free if fresh else None,
            exclusive=self._bars.exclusive(node.name, sample if fresh else None),
            cordoned=node.cordoned or self._bars.cordoned(node.name),
            models=dict(self._models_of(node, sample, fresh)),
            inventory_known=self._inventory_known(node.name, fresh),
        )

    def _inventory_known(self, node: str, fresh: bool) -> bool:
        check = self._checks.get(node)
        return fresh or (check is not None and (check.ok or bool(check.models)))

    def _models_of(
        self, node: Node, sample: NodeSample, fresh: bool
    ) -> Iterator[tuple[str, ModelFacts]]:
        """By our names. Requests are told of each model once, also where it has several."""
        counted: set[str] = set()
        odd = self.odd()
        for name, (own, _) in self.names.on(node.name).items():
            facts = self._model_facts(node.name, own, sample)
            if odd and node.name in odd.get(name, ()):
                facts = replace(facts, differs=True)
            yield (
                name,
                facts
                if fresh and own not in counted
                else replace(facts, running=None, waiting=None),
            )
            counted.add(own)

    def _model_facts(self, node: str, own: str, sample: NodeSample) -> ModelFacts:
        known = sample.models.get(own) or ModelSample()
        check, look = self._checks.get(node), self._looks.get(node, {}).get(own) or Listed(own)
        people = self._people.get(node) or PeopleSample()
        looked = check.at if check is not None and check.ok and look.loaded is not None else None
        if looked is not None and known.loaded is not None and looked < (sample.sampled_at or 0.0):
            looked = None  # the sample is younger
        return ModelFacts(
            loaded=known.loaded if looked is None else look.loaded,
            seen_at=looked,
            running=known.running,
            waiting=known.waiting,
            context=look.context,
            memory=_needs(look.size or people.sizes.get(own), people),
            identity=look.digest or people.digests.get(own),
            decode=known.decode,
        )


def _quantisations(look: Mapping[str, Listed]) -> dict[str, object]:
    return {name: model.details.get(QUANTISATION) for name, model in look.items()}


def _needs(size: int | None, people: PeopleSample) -> int | None:
    """Bytes of the accelerator's memory. What is larger than all of it is split by the engine, so
    that nobody knows what it needs there."""
    total = sum(gpu.memory_total or 0 for gpu in people.gpus.values())
    return None if size is None or 0 < total < size else size


def _said(node: Node, sample: NodeSample) -> int | None:
    """Without an exporter the recorded slots are a guess, and nodes.yaml knows better."""
    return sample.slots if node.exporter is not None or node.slots is None else None


def _unsaid(node: Node, check: Check | None) -> int | None:
    """Where no exporter says: Ollama answers one request at a time unless it is told otherwise, and
    then `slots` of nodes.yaml says so."""
    ollama = "ollama" in (node.kind, check.dialect if check is not None else "")
    return 1 if ollama and node.slots is None else None


def may_serve(node: Node, name: str) -> bool:
    """By its own name, or by one that nodes.yaml gives it."""
    names = [name, *(ours for ours, own in node.aliases.items() if own == name)]
    return not node.models or any(fnmatchcase(one, glob) for one in names for glob in node.models)


def _busy_share(before: PeopleSample, after: PeopleSample) -> float | None:
    """CPU in use between two direct readings; the last one known where they do not differ."""
    if before.cpu_seconds is None or after.cpu_seconds is None:
        return before.cpu
    idle = after.cpu_seconds[0] - before.cpu_seconds[0]
    total = after.cpu_seconds[1] - before.cpu_seconds[1]
    return min(1.0, max(0.0, 1 - idle / total)) if total > 0 else before.cpu
