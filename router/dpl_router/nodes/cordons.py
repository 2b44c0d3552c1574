"""Who is cordoned, by whom, why and until when. Pure: `now` is an argument, in seconds since 1970.

An operator's cordon lasts until an operator lifts it. An alert's is a lease: each repeat of the
alert renews it, and when none comes it ends. A node may have one of the first kind and many of the
second. What nodes.yaml cordons is not in here: that file says it itself.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

Source = Literal["operator", "alert"]
Moment = Annotated[float, msgspec.Meta(ge=0, lt=253_402_300_800)]
"""Seconds since 1970, to the end of the year 9999; checked where a file is read."""


class Cordon(msgspec.Struct, frozen=True):
    node: str
    source: Source
    by: str
    """The operator's key, or the alert's name."""
    why: str = ""
    since: Moment = 0.0
    until: Moment | None = None
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
        self._on: dict[str, dict[str, Cordon]] = {}
        """Node -> fingerprint -> cordon; no node without one."""
        self.turn = 0
        """Another whenever it may be other nodes that stand cordoned by people or by alerts."""
        for cordon in kept:
            self._put(cordon)

    def all(self) -> tuple[Cordon, ...]:
        """Operators' first, then by age."""
        every = (cordon for ours in self._on.values() for cordon in ours.values())
        return tuple(sorted(every, key=_rank))

    def on(self, node: str) -> tuple[Cordon, ...]:
        """Those of one node, in the same order."""
        return tuple(sorted(self._on.get(node, {}).values(), key=_rank))

    def nodes(self) -> frozenset[str]:
        return frozenset(self._on)

    def by_people(self) -> frozenset[str]:
        """Nodes that an operator cordoned."""
        return frozenset(node for node, ours in self._on.items() if "" in ours)

    def alerted(self) -> frozenset[str]:
        """Nodes that an alert cordoned."""
        return frozenset(node for node, ours in self._on.items() if len(ours) > ("" in ours))

    def alerts_on(self, node: str) -> int:
        """How many alerts cordon it."""
        ours = self._on.get(node, {})
        return len(ours) - ("" in ours)

    def by_alerts(self) -> tuple[Cordon, ...]:
        return tuple(cordon for cordon in self.all() if cordon.source == "alert")

    def get(self, node: str, fingerprint: str) -> Cordon | None:
        return self._on.get(node, {}).get(fingerprint)

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

    def mark_resolved(self, node: str, fingerprint: str) -> bool:
        """False where there is none, or it was marked before."""
        known = self.get(node, fingerprint)
        if known is None or known.resolved:
            return False
        self._put(msgspec.structs.replace(known, resolved=True))
        return True

    def prolong(self, cordon: Cordon, until: float) -> None:
        """Of an alert's that is still there."""
        known = self.get(*cordon.key)
        if known is not None:
            self._put(msgspec.structs.replace(known, until=until))

    def lift(self, cordon: Cordon) -> bool:
        """False where it is no longer as it was looked at: gone, or renewed meanwhile."""
        if self.get(*cordon.key) != cordon:
            return False
        ours = self._on[cordon.node]
        del ours[cordon.fingerprint]
        if not ours:
            del self._on[cordon.node]
        self.turn += 1
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

    def shift(self, seconds: float) -> None:
        """The clock was set forward by so much: alerts' cordons last as long as they would have."""
        for cordon in self.by_alerts():
            if cordon.until is not None:
                self.prolong(cordon, cordon.until + seconds)

    def _put(self, cordon: Cordon) -> Cordon:
        ours = self._on.setdefault(cordon.node, {})
        if cordon.fingerprint not in ours:
            self.turn += 1
        ours[cordon.fingerprint] = cordon
        return cordon


def _rank(cordon: Cordon) -> tuple[bool, float, str, str]:
    return cordon.source == "alert", cordon.since, cordon.node, cordon.fingerprint
