"""Nodes that are measured elsewhere since a reload: what is known of them was another machine's."""

from dpl_router.inventory.types import Inventory, Node

SETTLED = 10.0
"""Seconds in which Prometheus may still ask at the old address: it reads the list of nodes every
5 s, and scrapes as often."""


class Moved:
    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def reload(self, before: Inventory, after: Inventory, now: float) -> set[str]:
        """Those that have moved just now."""
        known = {node.name: _measured(node) for node in before.nodes}
        wanted = {node.name: _measured(node) for node in after.nodes}
        moved = {name for name in known.keys() & wanted if known[name] != wanted[name]}
        kept = {name: at for name, at in self._since.items() if name in wanted}
        self._since = kept | dict.fromkeys(moved, now)
        return moved

    def arrived(self, node: str, sampled_at: float) -> bool:
        """Whether a sample of that time is the node's own; then all that follow are."""
        if node in self._since and sampled_at <= self._since[node] + SETTLED:
            return False
        self._since.pop(node, None)
        return True

    def waits(self, node: str) -> bool:
        """No sample of its own has come yet."""
        return node in self._since


def _measured(node: Node) -> tuple[object, ...]:
    return node.exporter, node.metrics
