"""The price of a node for a request, in seconds: a weighted sum of terms.

Source: scheduling.md section 3. Waiting counts eight times: what waits once is waited for by
everyone behind it. A new term is one function and one line in `TERMS`.
"""

from collections.abc import Callable
from math import floor
from typing import NamedTuple

from dpl_router.scheduling.book import faded
from dpl_router.scheduling.types import Candidate, Demand

LATE_JOIN = 1.45
"""A request finds no place when less than 0.55 of one is free: counts of others are estimates."""


class Standing(NamedTuple):
    """A candidate at one moment, for one request."""

    now: float
    busy: float
    """Ours, others' and those held ahead of this request."""
    short: int
    """Places that it lacks for this request."""
    output: float
    """Mean tokens of an answer of this model."""


def others_now(row: Candidate, now: float) -> float:
    """Requests there that are not ours."""
    if row.others == row.others_mean:
        return row.others
    return faded(row.others, row.others_mean, row.others_at, now)


def stand(row: Candidate, claimed: int, output: float, now: float) -> Standing:
    busy = row.in_flight + claimed + others_now(row, now)
    return Standing(now, busy, max(0, floor(busy - row.slots + LATE_JOIN)), output)


def waiting(row: Candidate, demand: Demand, at: Standing) -> float:
    """Seconds until there is a place: those there end one by one, each after what it has left.

    Whoever is not ours, or held, is taken to have a whole answer left; ours at most that, so that
    one more of anything never makes the wait shorter.
    """
    if at.short == 0:
        return 0.0
    left = min(row.rest, row.in_flight * at.output) + (at.busy - row.in_flight) * at.output
    crowd = 1 + row.crowding * (row.slots - 1)
    return at.short * left * crowd / (max(at.busy, at.short) * row.slots * row.decode)


def pending(row: Candidate, demand: Demand, at: Standing) -> float:
    """Seconds of prompts ahead of ours: prefill is serial."""
    return row.pending / row.prefill


def loading(row: Candidate, demand: Demand, at: Standing) -> float:
    """Seconds until the model is there."""
    if row.load_from <= at.now:
        return row.load
    return row.load + row.load_from - at.now


def evicting(row: Candidate, demand: Demand, at: Standing) -> float:
    """The same seconds once more where a load drives another model out."""
    return row.load if row.evicts else 0.0


def own(row: Candidate, demand: Demand, at: Standing) -> float:
    """Seconds of our own prompt."""
    return demand.prompt_tokens / row.prefill


def decoding(row: Candidate, demand: Demand, at: Standing) -> float:
    """Seconds of our answer, as long as answers of this model are."""
    tokens = at.output
    if demand.max_tokens is not None and demand.max_tokens < tokens:
        tokens = max(1, demand.max_tokens)
    return tokens * (1 + row.crowding * min(at.busy, row.slots - 1)) / row.decode


class Term(NamedTuple):
    name: str
    weight: float
    seconds: Callable[[Candidate, Demand, Standing], float]


TERMS = (
    Term("wait", 8.0, waiting),
    Term("pending", 8.0, pending),
    Term("load", 4.0, loading),
    Term("evict", 5.0, evicting),
    Term("own", 4.0, own),
    Term("decode", 0.5, decoding),
)


def price(row: Candidate, demand: Demand, at: Standing) -> float:
    cost = 0.0
    for _, weight, seconds in TERMS:
        cost += weight * seconds(row, demand, at)
    return cost


def cold_start(row: Candidate, demand: Demand, at: Standing) -> float:
    """The part of the price that a node pays only because the model is not there yet."""
    return 4.0 * loading(row, demand, at) + 5.0 * evicting(row, demand, at)


def itemised(row: Candidate, demand: Demand, at: Standing) -> dict[str, float]:
    """Each term's part of the price: they add up to it."""
    return {name: weight * seconds(row, demand, at) for name, weight, seconds in TERMS}
