"""Cordons that alerts ask for and the floor refuses: a broken node serves, and a person decides."""

import time
from collections.abc import Iterable

from dpl_router.nodes.cordons import Cordon


class Withheld:
    """`lasts`: for so many seconds a request stands that is not repeated."""

    def __init__(self, lasts: float) -> None:
        self._lasts = lasts
        self._ends: dict[tuple[str, str], float] = {}
        """(node, fingerprint) -> when, on the monotonic clock."""

    def refused(self, node: str, fingerprint: str) -> None:
        self._ends[node, fingerprint] = time.monotonic() + self._lasts

    def overruled(self, cordons: Iterable[Cordon]) -> None:
        """They were granted once. Where the alert is over nobody asks any more."""
        for cordon in cordons:
            if not cordon.resolved:
                self.refused(cordon.node, cordon.fingerprint)

    def over(self, node: str, fingerprint: str) -> None:
        """The alert has ended, or its cordon was granted."""
        self._ends.pop((node, fingerprint), None)

    def nodes(self) -> frozenset[str]:
        """Those of which a request stands."""
        now = time.monotonic()
        self._ends = {key: end for key, end in self._ends.items() if end > now}
        return frozenset(node for node, _ in self._ends)
