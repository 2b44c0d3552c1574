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
    return _loading(row, at.now)


def _loading(row: Candidate, now: float) -> float:
    return row.load if row.load_from <= now else row.load + row.load_from - now


def evicting(row: Candidate, demand: Demand, at: Standing) -> float:
    """The same seconds once more where a load drives another model out."""
    return _evicting(row)


def _evicting(row: Candidate) -> float:
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


WAIT, PENDING, LOAD, EVICT, OWN, DECODE = 8.0, 8.0, 4.0, 5.0, 4.0, 0.5
"""What a second of each term weighs."""

TERMS = (
    Term("wait", WAIT, waiting),
    Term("pending", PENDING, pending),
    Term("load", LOAD, loading),
    Term("evict", EVICT, evicting),
    Term("own", OWN, own),
    Term("decode", DECODE, decoding),
)


Offer = tuple[float, Candidate, int]
"""A candidate that may serve: its price, itself, and the places it lacks. No object of its own,
which would cost as much as the price."""


def offer(row: Candidate, demand: Demand, claimed: int, output: float, now: float) -> Offer:
    """The price is the sum of `TERMS`, in their order, where it stands with `claimed` and `output`.

    It is asked of every candidate for every request, so all is written out once more, and what is
    zero for most is left out.
    """
    others = row.others if row.others == row.others_mean else others_now(row, now)
    busy = row.in_flight + claimed + others
    over = busy - row.slots + LATE_JOIN
    short, cost = 0, 0.0
    if over >= 1.0:
        short = floor(over)
        cost = WAIT * waiting(row, demand, Standing(now, busy, short, output))
    if row.pending:
        cost += PENDING * (row.pending / row.prefill)
    if row.load or row.load_from > now:
        cost += LOAD * _loading(row, now)
        cost += EVICT * _evicting(row)
    limit, streams = demand.max_tokens, row.slots - 1
    tokens = output if limit is None or limit >= output else max(1, limit)
    crowd = 1 + row.crowding * (busy if busy < streams else streams)
    cost += OWN * (demand.prompt_tokens / row.prefill)
    return cost + DECODE * (tokens * crowd / row.decode), row, short


def cold_start(row: Candidate, now: float) -> float:
    """The part of the price that a node pays only because the model is not there yet."""
    return LOAD * _loading(row, now) + EVICT * _evicting(row)


def itemised(row: Candidate, demand: Demand, at: Standing) -> dict[str, float]:
    """Each term's part of the price: they add up to it."""
    return {name: weight * seconds(row, demand, at) for name, weight, seconds in TERMS}
