"""What each node serves, by all who say it: its samples and our own looks at it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TypeVar

import structlog

from dpl_router.inventory.types import Inventory, Node
from dpl_router.listing import Listed
from dpl_router.telemetry.names import Names
from dpl_router.telemetry.sample import NodeSample

MOST_MODELS = 1000
"""Of one node; each name costs at every poll and in every list."""
CAME = "modified_at"
"""In what Ollama lists of a model."""

Said = TypeVar("Said")

log = structlog.get_logger()


class Lists:
    """Told of every look, and of whose samples may be new; `names` learns what comes of it."""

    def __init__(self, inventory: Inventory) -> None:
        self._looks: dict[str, dict[str, Listed]] = {}
        """Node -> its own name of a model -> what it said of it when we last asked."""
        self._listed: dict[str, tuple[str, ...]] = {}
        """Node -> its own names of what it serves, by all sources."""
        self._first_seen: dict[str, str] = {}
        """Own name -> when some node first had it, as RFC 3339."""
        self._crowded: set[str] = set()
        """Nodes of which it was said that not all their models are known."""
        self.names = Names()
        self.reload(inventory, {})

    def reload(self, inventory: Inventory, samples: Mapping[str, NodeSample]) -> None:
        """What was said of nodes that stay is kept."""
        self._inventory = inventory
        self._nodes = stay = {node.name: node for node in inventory.nodes}
        for node in self._listed.keys() - stay.keys():
            del self._listed[node]
        for node in self._looks.keys() - stay.keys():
            del self._looks[node]
        self._forget_names()
        self._crowded.intersection_update(stay)
        self.update(stay, samples)
        self.names.learn(self._listed, inventory)

    def looked(self, node: str, models: Iterable[Listed]) -> Mapping[str, Listed]:
        """By the node's own names, and of too many the first; `update` then makes use of it."""
        look = self.first(node, {model.name: model for model in models})
        self._looks[node] = look
        return look

    def look(self, node: str) -> Mapping[str, Listed]:
        """By the node's own names."""
        return self._looks.get(node, {})

    def first(self, node: str, models: Mapping[str, Said]) -> dict[str, Said]:
        """The first `MOST_MODELS` by name, or all as they come."""
        if len(models) <= MOST_MODELS:
            return dict(models)
        if node not in self._crowded:
            self._crowded.add(node)
            log.warning("too many models", node=node, listed=len(models), kept=MOST_MODELS)
        return {name: models[name] for name in sorted(models)[:MOST_MODELS]}

    def update(self, nodes: Iterable[str], samples: Mapping[str, NodeSample]) -> bool:
        """What these nodes serve may have changed: whether it has. `samples`: the last of each."""
        came: set[str] = set()
        went: set[str] = set()
        for node in (self._nodes[name] for name in nodes if name in self._nodes):
            names = tuple(sorted(self._served(node, samples.get(node.name)))[:MOST_MODELS])
            known = self._listed.get(node.name, ())
            if names != known or node.name not in self._listed:
                came.update(names)
                went.update(known)
                self._listed[node.name] = names
        if came or went:
            self._remember(came, went)
        return bool(came or went)

    def _served(self, node: Node, sample: NodeSample | None) -> Iterator[str]:
        look = self.look(node.name)
        told = sample.models.items() if sample is not None else ()
        for name in {name for name, model in told if model.loaded is not None}.union(look):
            elsewhere = name in look and look[name].remote and not node.remote_models
            if not elsewhere and may_serve(node, name):
                yield name

    def _remember(self, came: set[str], went: set[str]) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for name in came - self._first_seen.keys():
            self._first_seen[name] = now
        if went - came:
            self._forget_names()
        self.names.learn(self._listed, self._inventory)

    def _forget_names(self) -> None:
        """Which no node lists any more."""
        every = {name for names in self._listed.values() for name in names}
        self._first_seen = {name: at for name, at in self._first_seen.items() if name in every}

    def known_names(self) -> set[str]:
        """Ours and the nodes' own."""
        return {*self.names.all(), *(name for names in self._listed.values() for name in names)}

    def listed(self, node: str, name: str) -> Listed:
        """What the node says of a model of ours; its own name, and when we first saw that as
        `modified_at`, where it does not say."""
        own = self.names.at(node, name).own
        listed = self.look(node).get(own) or Listed(own)
        if CAME in listed.details or own not in self._first_seen:
            return listed
        return replace(listed, details={**listed.details, CAME: self._first_seen[own]})


def may_serve(node: Node, name: str) -> bool:
    """By its own name, or by one that nodes.yaml gives it."""
    names = [name, *(ours for ours, own in node.aliases.items() if own == name)]
    return not node.models or any(fnmatchcase(one, glob) for one in names for glob in node.models)
