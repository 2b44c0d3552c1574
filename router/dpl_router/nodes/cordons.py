"""Who is cordoned, by whom, why and until when. Pure: `now` is an argument, in seconds since 1970.

An operator's cordon lasts until an operator lifts it. An alert's is a lease: each repeat of the
alert renews it, and when none comes it ends. A node may have one of the first kind and many of the
second. What nodes.yaml cordons is not in here: that file says it itself.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

Source = Literal["operator", "alert"]


class Cordon(msgspec.Struct, frozen=True):
    """Times are seconds since 1970."""

    node: str
    source: Source
    by: str
    """The operator's key, or the alert's name."""
    why: str = ""
    since: float = 0.0
    until: float | None = None
    """None: until somebody lifts it; never with an alert."""
    fingerprint: str = ""
    """The alert's; what is renewed and ended is found by it."""
    action: Literal["cordon", "drain"] = "cordon"
    scope: str = ""
    gpu: str = ""
    """The alert's labels of these names: what it wants, and what must be well again."""
    resolved: bool = False
    """Alertmanager says that the alert is over, which alone proves nothing."""

    @property
    def key(self) -> tuple[str, str]:
        return self.node, self.fingerprint


class Cordons:
    def __init__(self, kept: Iterable[Cordon] = ()) -> None:
        self._cordons = {cordon.key: cordon for cordon in kept}

    def all(self) -> tuple[Cordon, ...]:
        """Operators' first, then by age."""
        return tuple(sorted(self._cordons.values(), key=_rank))

    def on(self, node: str) -> tuple[Cordon, ...]:
        """Those of one node, in the same order."""
        return tuple(cordon for cordon in self.all() if cordon.node == node)

    def nodes(self) -> frozenset[str]:
        return frozenset(node for node, _ in self._cordons)

    def by_alerts(self) -> tuple[Cordon, ...]:
        return tuple(cordon for cordon in self.all() if cordon.source == "alert")

    def get(self, node: str, fingerprint: str) -> Cordon | None:
        return self._cordons.get((node, fingerprint))

    def by_operator(self, node: str, who: str, why: str, now: float) -> Cordon:
        """A second one takes the first one's place and keeps its time."""
        known = self.get(node, "")
        cordon = Cordon(node, "operator", who, why, now if known is None else known.since)
        return self._put(cordon)

    def by_alert(self, cordon: Cordon) -> bool:
        """True: it is new. False: one with the same fingerprint is renewed, and firing again."""
        known = self.get(cordon.node, cordon.fingerprint)
        if known is not None:
            cordon = msgspec.structs.replace(cordon, since=known.since)
        self._put(cordon)
        return known is None

    def resolved(self, node: str, fingerprint: str) -> bool:
        """Marked as such; False where there is none, or it was marked before."""
        known = self.get(node, fingerprint)
        if known is None or known.resolved:
            return False
        self._put(msgspec.structs.replace(known, resolved=True))
        return True

    def prolong(self, cordon: Cordon, until: float) -> None:
        """Of an alert's that is still there."""
        if cordon.key in self._cordons:
            self._put(msgspec.structs.replace(self._cordons[cordon.key], until=until))

    def lift(self, cordon: Cordon) -> bool:
        """False where it is no longer as it was looked at: gone, or renewed meanwhile."""
        if self._cordons.get(cordon.key) != cordon:
            return False
        del self._cordons[cordon.key]
        return True

    def lift_all(self, node: str) -> tuple[Cordon, ...]:
        """What stood on the node."""
        lifted = self.on(node)
        for cordon in lifted:
            self.lift(cordon)
        return lifted

    def shorten(self, until: float) -> None:
        """No alert's cordon lasts longer: one that would was made before the clock went back."""
        for cordon in self.by_alerts():
            if cordon.until is None or cordon.until > until:
                self.prolong(cordon, until)

    def _put(self, cordon: Cordon) -> Cordon:
        self._cordons[cordon.key] = cordon
        return cordon


def _rank(cordon: Cordon) -> tuple[bool, float, str, str]:
    return cordon.source == "alert", cordon.since, cordon.node, cordon.fingerprint
