"""Why a candidate is out. Facts of the request and of people come first: a node that is only
believed to be bad is forgiven when nothing else is left."""

from collections.abc import Mapping

from dpl_router.scheduling.types import Candidate, Demand, Rejection

BELIEFS = frozenset({Rejection.DOWN, Rejection.BREAKER})
"""What may be wrong, so that panic tries it before a client is failed."""

TELLING = (
    Rejection.FULL,
    Rejection.NO_MEMORY,
    Rejection.EXCLUSIVE,
    Rejection.CORDONED,
    Rejection.IDENTITY,
    Rejection.LABELS,
    Rejection.EXCLUDED,
)
"""Of the reasons why no node serves, the one to tell: what passes soonest comes first."""


def rejection(row: Candidate, demand: Demand, now: float) -> Rejection | None:
    """The first word that keeps `demand` from `row`; None = it may go there.

    A node that said 429 is `full` also to the request that heard it, so that the client is told
    when to come back.
    """
    if now < row.alone_until:
        return Rejection.FULL
    if row.node in demand.excluded:
        return Rejection.EXCLUDED
    if row.barred is not None:
        return row.barred
    if now < row.exclusive_until:
        return Rejection.EXCLUSIVE
    if demand.select and not _labelled(row, demand.select):
        return Rejection.LABELS
    if row.down:
        return Rejection.DOWN
    if row.trying or now < row.open_until:
        return Rejection.BREAKER
    return None


def _labelled(row: Candidate, select: Mapping[str, str]) -> bool:
    return all(row.labels.get(name) == value for name, value in select.items())
