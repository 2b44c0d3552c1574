"""Cordons and locks as the API and the pages show them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from dpl_router.fleet.schemas import CordonStatus, LockStatus
from dpl_router.inventory.types import Node
from dpl_router.nodes.cordons import Cordon
from dpl_router.nodes.locks import Lock

FILE: Literal["nodes.yaml"] = "nodes.yaml"


def cordons_on(node: Node, kept: Sequence[Cordon]) -> list[CordonStatus]:
    """That of nodes.yaml first, then in the order of `kept`."""
    by_file = [CordonStatus(FILE, FILE, "")] if node.cordoned else []
    return by_file + [
        CordonStatus(
            cordon.source,
            cordon.by,
            cordon.why,
            moment(cordon.since),
            moment(cordon.until) if cordon.until is not None else None,
            cordon.resolved,
        )
        for cordon in kept
    ]


def lock_on(lock: Lock | None) -> LockStatus | None:
    if lock is None:
        return None
    problem = lock.problem if lock.standing else "waiting for what runs there"
    return LockStatus(lock.by, lock.why, moment(lock.since), problem)


def moment(at: float) -> str:
    """Seconds since 1970 as RFC 3339, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
