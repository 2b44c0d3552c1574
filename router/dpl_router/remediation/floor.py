"""The fleet floor: alerts never cordon more than half of a model's nodes, nor the last that serves.

An alert can be wrong, and one bad rule can fire for all nodes at once. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    node: str
    models: frozenset[str]
    serving: bool
    """It answers, and nothing but an alert's cordon stands against sending to it."""
    alerted: bool
    """Cordoned by an alert."""


def against(fleet: Sequence[Member], node: str) -> str | None:
    """Why no alert may cordon `node`, or go on doing so; None = nothing stands against it."""
    models = next((member.models for member in fleet if member.node == node), frozenset())
    for model in sorted(models):
        having = [member for member in fleet if model in member.models]
        others = [member for member in having if member.node != node]
        if not any(other.serving and not other.alerted for other in others):
            return f"no other node serves {model} now"
        if 2 * (1 + sum(other.alerted for other in others)) > len(having):
            return f"alerts would cordon more than half of the nodes of {model}"
    return None
