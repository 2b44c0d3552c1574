"""Is the node well again? A *resolved* alone proves nothing: where the metrics are gone, every
alert on them ends. Pure.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from dpl_router.nodes.cordons import Cordon

Health = Literal["well", "unwell", "unknown"]

OLDEST_COLLECTOR = 30.0
"""Seconds, as in the rule of node:dpl_eligible:bool."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a node now."""

    fresh: bool
    """It was measured within three scrapes."""
    up: bool
    """Its server answers the exporter and our own checks."""
    collector_age: float | None
    gpus: Collection[str]
    """Indices of the cards that are measured."""


Active = Collection[tuple[str, str]]
"""(name, node) of what Prometheus has now, pending alerts as well; the name as in `Cordon.by`."""


def health(cordon: Cordon, seen: Seen, active: Active | None) -> Health:
    """Of what `cordon` was made for. `active` is None where Prometheus cannot be asked."""
    if not seen.fresh:
        return "unknown"
    if not seen.up or (seen.collector_age or 0.0) > OLDEST_COLLECTOR:
        return "unwell"
    if cordon.scope == "gpu" and not (cordon.gpu in seen.gpus if cordon.gpu else seen.gpus):
        return "unwell"
    if active is None:
        return "unknown"
    return "unwell" if (cordon.by, cordon.node) in active else "well"
