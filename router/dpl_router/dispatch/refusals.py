"""What a client hears whose request went to no node."""

from collections.abc import Callable, Sequence
from math import ceil

from dpl_router.errors import DplError, ModelUnknown, NoEligibleNode, Overloaded, Unavailable
from dpl_router.scheduling.types import Decision, Rejection

BARRED = 30.0
"""Seconds: what people keep a node from is not over in a moment, and no request hastens it."""
LONGEST_NAME = 100
"""Characters; of a longer name no more is told."""


def cut(name: str) -> str:
    """A client's name of a model, fit to be told."""
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…"


def refused(
    model: str,
    decision: Decision,
    near: Callable[[str], Sequence[str]],
    holder: Callable[[str], str | None] = lambda _: None,
) -> DplError:
    """`model` is the client's name for it, empty where the router may choose; `holder` tells which
    operator locked a node."""
    word = decision.rejection or Rejection.DOWN
    model, wait = cut(model) or "auto", decision.retry_after or 1.0
    if word is Rejection.UNKNOWN_MODEL:
        return unknown(model, near(model))
    if alone := _alone(decision):
        return Overloaded(
            f"{', '.join(alone)} asked to be left alone, and nobody else serves {model!r} now; "
            f"try again in {ceil(wait)} s",
            wait,
        )
    if word in (Rejection.FULL, Rejection.DEADLINE):
        why = "the queue is full" if word is Rejection.FULL else "no place came free in time"
        return Overloaded(f"every node that serves {model!r} is busy and {why}", wait)
    rejections = {row.node: str(row.rejection) for row in decision.rows if row.rejection}
    locked = {node: by for node in rejections if (by := holder(node)) is not None}
    if word is Rejection.CORDONED or (word is Rejection.EXCLUSIVE and locked):
        wait = decision.retry_after or BARRED
    said = {**rejections, **{node: f"locked by {cut(by)}" for node, by in locked.items()}}
    told = ", ".join(f"{node}: {why}" for node, why in sorted(said.items()))
    return NoEligibleNode(
        f"no node can serve {model!r} now ({told or word})", rejections, retry_after=wait
    )


def _alone(decision: Decision) -> list[str]:
    """Nodes that said 429 and when to come back; empty where that is not the reason. A node that
    is just full lacks places."""
    if decision.rejection is not Rejection.FULL:
        return []
    return sorted(
        row.node for row in decision.rows if row.rejection is Rejection.FULL and not row.short
    )


def unknown(model: str, near: Sequence[str]) -> ModelUnknown:
    """`near`: names that there are."""
    hint = f"did you mean {', '.join(near)}?" if near else "GET /v1/models lists all"
    return ModelUnknown(f"no node has the model {cut(model)!r}; {hint}", near)


def stopping() -> Unavailable:
    return Unavailable("the router is shutting down; ask again in a moment", retry_after=2)
