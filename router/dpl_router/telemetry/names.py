"""Which models there are over all nodes, how clients may spell them, what each node calls them.

`name` and `name:latest` are one (Ollama lists the second), capitals are no matter where nothing
is spelled just so, and nodes.yaml's aliases are names like any other.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dpl_router.inventory.aliases import LATEST, untagged
from dpl_router.inventory.types import Inventory

MOST_NEAR = 3


class Place(NamedTuple):
    """A model of ours on one node."""

    own: str
    """The node's own name of it."""
    context: int | None
    """The operator's, in tokens; None where nodes.yaml names none."""


class Names:
    """Learned anew when a list or nodes.yaml has changed and somebody asks; asking costs a look-up
    or two."""

    def __init__(self) -> None:
        self._listed: Mapping[str, Sequence[str]] = {}
        self._inventory: Inventory | None = None
        """Of what was not learned yet; else None."""
        self._spelled: dict[str, str] = {}
        self._loosely: dict[str, str] = {}
        self._contexts: dict[str, int] = {}
        self._places: dict[str, dict[str, Place]] = {}

    def learn(self, listed: Mapping[str, Sequence[str]], inventory: Inventory) -> None:
        """`listed`: node -> the names that it lists itself; read when somebody asks, since the
        first lists of a large fleet come one by one."""
        self._listed, self._inventory = listed, inventory

    def _learn(self, inventory: Inventory) -> None:
        self._inventory, listed = None, self._listed
        self._contexts = {
            untagged(name): tokens for name, tokens in inventory.router.contexts.items()
        }
        aliases = {node.name: node.aliases for node in inventory.nodes}
        bare = {name for names in listed.values() for name in names}
        bare.update(alias for node in listed for alias in aliases.get(node, ()))
        self._places = {
            node: self._on(names, aliases.get(node, {}), bare) for node, names in listed.items()
        }
        ours = self._all()
        self._spelled = {name: name for name in ours}
        for name in ours:
            other = name.removesuffix(LATEST) if name.endswith(LATEST) else name + LATEST
            self._spelled.setdefault(other, name)
        self._loosely = {}
        for name in ours:
            self._loosely.setdefault(untagged(name), name)

    def _on(
        self, names: Sequence[str], aliases: Mapping[str, str], known: set[str]
    ) -> dict[str, Place]:
        """A node's models by our names: its own first, then the aliases."""
        places: dict[str, Place] = {}
        for own in names:
            short = own.removesuffix(LATEST)
            places[short if short in known else own] = self._place(own, own)
        for ours, own in aliases.items():
            for spelled in (own, own + LATEST, own.removesuffix(LATEST)):
                if spelled in names:
                    places[ours] = self._place(ours, spelled)
                    break
        return places

    def _place(self, ours: str, own: str) -> Place:
        named = self._contexts.get(untagged(ours))
        return Place(own, named if named is not None else self._contexts.get(untagged(own)))

    def all(self) -> list[str]:
        """Every name of ours, sorted."""
        self._catch_up()
        return self._all()

    def _catch_up(self) -> None:
        if self._inventory is not None:
            self._learn(self._inventory)

    def _all(self) -> list[str]:
        return sorted({name for places in self._places.values() for name in places})

    def on(self, node: str) -> Mapping[str, Place]:
        """The node's models by our names; an alias comes after the node's own name."""
        self._catch_up()
        return self._places.get(node, {})

    def at(self, node: str, name: str) -> Place:
        """A name that the node does not list stands for itself."""
        self._catch_up()
        place = self._places.get(node, {}).get(name)
        return place if place is not None else Place(name, self._contexts.get(untagged(name)))

    def resolve(self, name: str) -> str:
        """A client's spelling -> our name; the same where no node has it."""
        self._catch_up()
        found = self._spelled.get(name)
        if found is None:
            found = self._loosely.get(untagged(name))
        return name if found is None else found

    def knows(self, name: str) -> bool:
        """Some node lists it, however it is spelled."""
        self._catch_up()
        return name in self._spelled or untagged(name) in self._loosely

    def near(self, name: str) -> list[str]:
        """Names of ours that look like it, the nearest first."""
        self._catch_up()
        asked = untagged(name)
        family = [ours for loose, ours in self._loosely.items() if related(loose, asked)]
        alike = difflib.get_close_matches(asked, self._loosely, MOST_NEAR)
        return list(dict.fromkeys([*(self._loosely[one] for one in alike), *family]))[:MOST_NEAR]


def related(one: str, other: str) -> bool:
    """They differ in the tag only: `qwen3:8b`, `qwen3:14b`, `qwen3`."""
    return one.partition(":")[0] == other.partition(":")[0]


def own_names(places: Mapping[str, Place]) -> Iterable[tuple[str, Place]]:
    """Each model once: under an alias only where the node's own name is none of ours."""
    seen: set[str] = set()
    for name, place in places.items():
        if place.own not in seen:
            seen.add(place.own)
            yield name, place
