"""How long a node may be silent before another is asked."""

from collections.abc import Sequence

from dpl_router.conversation import ChatRequest
from dpl_router.scheduling.types import Candidate, Demand
from dpl_router.upstreams.clients import NodeClient

LONGEST_ANSWER = 4096
"""Tokens of a plain answer that is given time where the client set no limit."""


def others_could(rows: Sequence[Candidate], node: str, tried: frozenset[str]) -> bool:
    """Another node than this one might serve as well, and was not tried yet."""
    return any(
        row.node != node and row.barred is None and not row.down and row.node not in tried
        for row in rows
    )


def writing_time(chat: ChatRequest, node: str, model: str, rows: Sequence[Candidate]) -> float:
    """Seconds more until the first byte of a plain answer, which may come with its last: twice what
    the node needs for the longest, with all its places taken."""
    for row in rows:
        if row.node == node and row.model == model:
            break
    else:
        return 0.0
    speed = row.decode / (1 + row.crowding * (row.slots - 1))
    return 2 * (chat.max_tokens or LONGEST_ANSWER) / (speed if speed > 1.0 else 1.0)


def patience_for(
    demand: Demand,
    left: float,
    node: NodeClient,
    rows: Sequence[Candidate],
) -> float:
    """Seconds for the first word: half of what is `left` while others could serve, else all."""
    patience = left if left > 1.0 else 1.0
    if len(rows) > 1 and others_could(rows, node.name, demand.excluded):
        patience /= 2
    if patience > node.first_token:
        patience = node.first_token
    return patience
