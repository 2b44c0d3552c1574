"""What a client hears whose request went to no node."""

from collections.abc import Callable, Sequence

from dpl_router.errors import DplError, ModelUnknown, NoEligibleNode, Overloaded, Unavailable
from dpl_router.scheduling.types import Decision, Rejection


def refused(model: str, decision: Decision, near: Callable[[str], Sequence[str]]) -> DplError:
    """`model` is the client's name for it, empty where the router may choose."""
    word = decision.rejection or Rejection.DOWN
    model, wait = model or "auto", decision.retry_after or 1.0
    if word is Rejection.UNKNOWN_MODEL:
        return unknown(model, near(model))
    if word in (Rejection.FULL, Rejection.DEADLINE):
        why = "the queue is full" if word is Rejection.FULL else "no place came free in time"
        return Overloaded(f"every node that serves {model!r} is busy and {why}", wait)
    rejections = {row.node: str(row.rejection) for row in decision.rows if row.rejection}
    told = ", ".join(f"{node}: {why}" for node, why in sorted(rejections.items()))
    return NoEligibleNode(
        f"no node can serve {model!r} now ({told or word})", rejections, retry_after=wait
    )


def unknown(model: str, near: Sequence[str]) -> ModelUnknown:
    """`near`: names that there are."""
    hint = f"did you mean {', '.join(near)}?" if near else "GET /v1/models lists all"
    return ModelUnknown(f"no node has the model {model!r}; {hint}", near)


def stopping() -> Unavailable:
    return Unavailable("the router is shutting down; ask again in a moment", retry_after=2)
