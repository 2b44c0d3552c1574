"""Nodes that we keep out ourselves; what was measured meanwhile may be our own doing."""

from dpl_router.telemetry.sample import NodeSample

LIFTED_SECONDS = 20.0
"""The recorded eligibility looks back so far: a 0 may still be our own cordon or lock."""


class Bars:
    """Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._cordoned: frozenset[str] = frozenset()
        self._locked: frozenset[str] = frozenset()
        self._all: frozenset[str] = frozenset()
        self._lifted: dict[str, float] = {}
        """Node -> when we last let go of it."""
        self._unlocked: dict[str, float] = {}
        """Node -> when we last ended our lock of it."""

    def change(self, cordoned: frozenset[str], locked: frozenset[str], now: float) -> None:
        """`cordoned`: by whomever, nodes.yaml included. `locked`: by our operators."""
        self._unlocked.update(dict.fromkeys(self._locked - locked, now))
        self._lifted.update(dict.fromkeys(self._all - cordoned - locked, now))
        self._cordoned, self._locked, self._all = cordoned, locked, cordoned | locked

    def forget(self, gone: frozenset[str]) -> None:
        """Else to let go of them would be told of nodes that have gone."""
        self._cordoned, self._locked = self._cordoned - gone, self._locked - gone
        self._all -= gone
        for node in gone:
            self._lifted.pop(node, None)
            self._unlocked.pop(node, None)

    def cordoned(self, node: str) -> bool:
        return node in self._cordoned

    def eligible(self, node: str, sample: NodeSample, now: float) -> bool | None:
        """None: what was recorded may still be our own doing."""
        lately = now - self._lifted.get(node, -LIFTED_SECONDS) < LIFTED_SECONDS
        return None if lately and sample.eligible is False else sample.eligible

    def exclusive(self, node: str, sample: NodeSample | None) -> bool:
        """Somebody has the whole node. What was measured (None: nothing fresh) before we unlocked
        it may be our own lock."""
        if node in self._locked:
            return True
        if sample is None or not sample.exclusive:
            return False
        unlocked = self._unlocked.get(node)
        return unlocked is None or (sample.sampled_at or 0.0) > unlocked
