"""The fleet floor: alerts never cordon more than half of a model's nodes, nor the last that serves.

An alert can be wrong, and one bad rule can fire for all nodes at once. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    node: str
    models: frozenset[str]
    serving: bool
    """It answers, and nothing but an alert's cordon stands against sending to it."""
    alerted: bool
    """Cordoned by an alert."""


@dataclass(slots=True)
class _Model:
    having: int = 0
    alerted: int = 0
    free: int = 0
    """Those that serve and that no alert has cordoned."""


class Fleet:
    """Counted once, since many alerts come in one call."""

    def __init__(self, members: Iterable[Member]) -> None:
        self._members: dict[str, Member] = {}
        self._models: defaultdict[str, _Model] = defaultdict(_Model)
        for member in members:
            self.put(member)

    def member(self, node: str) -> Member | None:
        return self._members.get(node)

    def put(self, member: Member) -> None:
        """In the place of what was known of that node."""
        known = self._members.get(member.node)
        if known is not None:
            self._count(known, -1)
        self._members[member.node] = member
        self._count(member, 1)

    def _count(self, member: Member, one: int) -> None:
        for name in member.models:
            model = self._models[name]
            model.having += one
            model.alerted += one * member.alerted
            model.free += one * _free(member)

    def against(self, node: str) -> str | None:
        """Why no alert may cordon `node`, or go on doing so; None = nothing stands against it."""
        member = self._members.get(node)
        if member is None:
            return None
        for name in sorted(member.models):
            model = self._models[name]
            if model.free - _free(member) < 1:
                return f"no other node serves {name} now"
            if 2 * (1 + model.alerted - member.alerted) > model.having:
                return f"alerts would cordon more than half of the nodes of {name}"
        return None


def _free(member: Member) -> bool:
    return member.serving and not member.alerted
