"""The router's own queues: one for each model, in the order in which requests were held.

It keeps who waits and for which node; the waiting itself is dispatch's.
"""

from collections.abc import Container, Mapping

PER_SLOT = 2
"""So many may wait for each place of the nodes that serve the model."""
STRANGERS = "\0"
"""The one queue of all models that no node lists: clients invent names, and each would have its
own bound."""


class Queues:
    def __init__(self) -> None:
        self._held: dict[str, tuple[str, str]] = {}  # demand -> (model, node), oldest first
        self.claims: tuple[tuple[str, str], ...] = ()
        """(demand, node), oldest first over all models: a place goes to who waited longest."""

    def hold(self, demand_id: str, model: str, node: str) -> None:
        """A demand that waits already keeps its place and may wait for another node now."""
        self._held[demand_id] = (model, node)
        self._renew()

    def drop(self, demand_id: str) -> str | None:
        """The model it waited for; None where it did not wait."""
        held = self._held.pop(demand_id, None)
        if held is None:
            return None
        self._renew()
        return held[0]

    def _renew(self) -> None:
        self.claims = tuple((demand, node) for demand, (_, node) in self._held.items())

    def waiting(self, model: str, listed: Container[str]) -> tuple[str, ...]:
        """Ids of those that wait in the model's queue, oldest first. `listed`: what nodes have."""
        if not self._held:
            return ()
        if model in listed:
            return tuple(demand for demand, (name, _) in self._held.items() if name == model)
        return tuple(demand for demand, (name, _) in self._held.items() if name not in listed)

    def depths(self, listed: Container[str]) -> Mapping[str, int]:
        """Queue -> how many wait in it."""
        depths: dict[str, int] = {}
        for model, _ in self._held.values():
            queue = model if model in listed else STRANGERS
            depths[queue] = depths.get(queue, 0) + 1
        return depths
