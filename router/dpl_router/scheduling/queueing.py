"""The router's own queue: per model first in, first out, in the order in which they were held.

It keeps who waits and for which node; the waiting itself is dispatch's.
"""

from collections.abc import Mapping

from dpl_router.scheduling.types import Demand

PER_SLOT = 2
"""So many may wait for each place of the nodes that serve the model."""


class Queues:
    def __init__(self) -> None:
        self._held: dict[str, tuple[str, str]] = {}  # demand -> (model, node), oldest first
        self.claims: tuple[tuple[str, str], ...] = ()
        """(demand, node), oldest first over all models: a place goes to who waited longest."""

    def hold(self, demand: Demand, node: str) -> None:
        """A demand that waits already keeps its place and may wait for another node now."""
        self._held[demand.id] = (demand.model, node)
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

    def waiting(self, model: str) -> tuple[str, ...]:
        """Ids of those that wait for the model, oldest first."""
        if not self._held:
            return ()
        return tuple(demand for demand, (name, _) in self._held.items() if name == model)

    def depths(self) -> Mapping[str, int]:
        depths: dict[str, int] = {}
        for model, _ in self._held.values():
            depths[model] = depths.get(model, 0) + 1
        return depths
