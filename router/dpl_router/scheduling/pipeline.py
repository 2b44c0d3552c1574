"""decide(): filter -> price -> choose, with reasons. Pure.

`decide` answers without rows, `explain` gives the same answer with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from zlib import crc32

from dpl_router.scheduling.filters import BELIEFS, TELLING, rejection
from dpl_router.scheduling.price import (
    LATE_JOIN,
    Offer,
    cold_start,
    itemised,
    offer,
    others_now,
    stand,
    waiting,
)
from dpl_router.scheduling.types import (
    Action,
    Candidate,
    Decision,
    Demand,
    Reason,
    Rejection,
    Row,
    Snapshot,
    View,
)

ALL = 100
"""Up to so many candidates are all priced; of more, those that have the model and SAMPLE others."""
SAMPLE = 32
SHARED = 0.5
"""With at least so many requests of others a full node has no queue of ours alone: queue there."""
RETRY_AFTER = (1.0, 60.0)
"""Seconds: bounds of what a refused client is told."""


UNCLAIMED: Mapping[str, int] = MappingProxyType({})
DISPATCH, HOLD, ONLY = Action.DISPATCH, Action.HOLD, Reason.ONLY
CHEAPEST, WARM, RETRY = Reason.CHEAPEST, Reason.WARM, Reason.RETRY
"""By themselves, since an enum looks its members up slowly."""


def decide(demand: Demand, snapshot: Snapshot, now: float) -> Decision:
    """Where `demand` goes: dispatch(node), hold(node) or reject(why).

    A rejection carries the candidates' words as rows; `unknown_model` where no node has it.
    """
    if demand.deadline is not None and now >= demand.deadline:
        return Decision(Action.REJECT, rejection=Rejection.DEADLINE)
    view = snapshot.views.get(demand.model, snapshot.strangers)
    if len(view.candidates) == 1 and not (snapshot.claims or view.queue):
        [row] = view.candidates
        if rejection(row, demand, now) is None and _free(row, now):
            reason = RETRY if demand.attempts else ONLY  # nobody is cheaper: no price is needed
            # By place, which costs half of what names do.
            return Decision(DISPATCH, row.node, reason, None, (), None, row.model or demand.model)
    claims = _claimed(snapshot.claims, demand.id) if snapshot.claims else UNCLAIMED
    rows: Sequence[Candidate] = view.candidates
    if len(rows) > ALL:
        rows = _sample(rows, demand, snapshot.seed)
    offers, doubted = _market(rows, demand, view, claims, now)
    best = _cheapest(offers, demand, snapshot.seed) if offers else None
    if len(rows) < len(view.candidates) and (best is None or best[2]):
        offers, doubted = _market(view.candidates, demand, view, claims, now)
        best = _cheapest(offers, demand, snapshot.seed) if offers else None
    if best is not None:
        return _place(demand, view, best, _reason(demand, best, offers, now), claims, now)
    if not doubted or _unheard_of(view):
        return _refuse(demand, view, now)
    panic = [offer(row, demand, claims.get(row.node, 0), view.output, now) for row in doubted]
    best = _cheapest(panic, demand, snapshot.seed)
    return _place(demand, view, best, Reason.PANIC, claims, now)


def _free(row: Candidate, now: float) -> bool:
    """As an offer that lacks no place: nobody waits for it."""
    others = row.others if row.others == row.others_mean else others_now(row, now)
    return row.in_flight + others - row.slots + LATE_JOIN < 1.0


def explain(demand: Demand, snapshot: Snapshot, now: float) -> Decision:
    """`decide`, with one row per candidate: the chosen first, then by price, then those out."""
    decision = decide(demand, snapshot, now)
    view = snapshot.views.get(demand.model, snapshot.strangers)
    claims = _claimed(snapshot.claims, demand.id)
    rows = [_row(row, demand, claims.get(row.node, 0), view.output, now) for row in view.candidates]
    rows.sort(key=lambda row: (row.node != decision.node, row.rejection or "", row.cost))
    return replace(decision, rows=(*rows, *_absent(view))[:SAMPLE])


def _row(row: Candidate, demand: Demand, claimed: int, output: float, now: float) -> Row:
    at = stand(row, claimed, output, now)
    return Row(
        node=row.node,
        rejection=rejection(row, demand, now),
        terms=itemised(row, demand, at),
        cost=offer(row, demand, claimed, output, now)[0],
        short=at.short,
        model=row.model or demand.model,
    )


def _absent(view: View) -> Sequence[Row]:
    return [Row(node, Rejection.NO_MODEL) for node in view.absent[:SAMPLE]]


def _claimed(claims: Sequence[tuple[str, str]], demand_id: str) -> Mapping[str, int]:
    """Node -> held requests ahead of this one: all where it is not held itself."""
    ahead: dict[str, int] = {}
    for holder, node in claims:
        if holder == demand_id:
            break
        ahead[node] = ahead.get(node, 0) + 1
    return ahead


def _sample(rows: Sequence[Candidate], demand: Demand, seed: int) -> Sequence[Candidate]:
    """Of many SAMPLE in a row from a place that the demand's id names (rows lie in the order of
    their hash), from among those that have the model where those are many too."""
    warm = [row for row in rows if row.load == 0.0]
    if len(warm) >= ALL:
        return _run(warm, demand, seed)
    return [*warm, *_run([row for row in rows if row.load != 0.0], demand, seed)]


def _run(rows: Sequence[Candidate], demand: Demand, seed: int) -> Sequence[Candidate]:
    if len(rows) <= SAMPLE:
        return rows
    start = crc32(demand.id.encode(), seed) % len(rows)
    return [*rows[start : start + SAMPLE], *rows[: max(0, start + SAMPLE - len(rows))]]


def _market(
    rows: Sequence[Candidate], demand: Demand, view: View, claims: Mapping[str, int], now: float
) -> tuple[list[Offer], list[Candidate]]:
    """All offers, and those who were turned away for a belief."""
    offers: list[Offer] = []
    doubted: list[Candidate] = []
    for row in rows:
        why = rejection(row, demand, now)
        if why is None:
            claimed = claims.get(row.node, 0) if claims else 0
            offers.append(offer(row, demand, claimed, view.output, now))
        elif why in BELIEFS:
            doubted.append(row)
    return offers, doubted


def _cheapest(offers: Sequence[Offer], demand: Demand, seed: int) -> Offer:
    """A node of unknown eligibility comes after those known to be well, unless it can start at
    less than it costs to wait for them."""
    if len(offers) == 1:
        return offers[0]
    for one in offers:
        if not one[1].known:
            return _known_first(offers, demand, seed)
    return _least(offers, demand, seed)


def _known_first(offers: Sequence[Offer], demand: Demand, seed: int) -> Offer:
    known = [one for one in offers if one[1].known]
    best = _least(known, demand, seed) if known else None
    return best if best is not None and best[2] == 0 else _least(offers, demand, seed)


def _least(offers: Sequence[Offer], demand: Demand, seed: int) -> Offer:
    """The lowest price; ties: fewest in flight, then by a hash that differs between requests."""
    best, tied = offers[0], False
    for other in offers[1:]:
        if other[0] < best[0]:
            best, tied = other, False
        elif other[0] == best[0]:
            tied = True
    return _drawn(offers, best[0], demand, seed) if tied else best


def _drawn(offers: Sequence[Offer], cost: float, demand: Demand, seed: int) -> Offer:
    start = crc32(f"{demand.id}/".encode(), seed)

    def rank(one: Offer) -> tuple[int, int, str, str]:
        row = one[1]
        # The checksum alone would rank any two nodes nearly alike for all requests: it is linear.
        mixed = crc32(row.node.encode(), start) * 2654435761 % 2**32
        return row.in_flight, mixed, row.node, row.model

    return min([one for one in offers if one[0] == cost], key=rank)


def _reason(demand: Demand, chosen: Offer, offers: Sequence[Offer], now: float) -> Reason:
    if demand.attempts:
        return RETRY
    if len(offers) == 1:
        return ONLY
    if chosen[1].load == 0.0:
        for cost, row, _ in offers:
            if row.load and cost - cold_start(row, now) < chosen[0]:
                return WARM
    return CHEAPEST


def _place(
    demand: Demand, view: View, chosen: Offer, reason: Reason, claims: Mapping[str, int], now: float
) -> Decision:
    """There at once, or in the queue: behind those that wait already, or because it is full.

    Strictly first in, first out: a newcomer waits behind the held ones of its model even where
    a place is free, since that place is the head's to take or to leave.
    """
    _, row, short = chosen
    behind = bool(view.queue) and view.queue[0] != demand.id
    full = short > 0 and others_now(row, now) < SHARED
    if not (behind or full):
        return Decision(DISPATCH, row.node, reason, model=row.model or demand.model)
    if len(view.queue) >= view.limit and demand.id not in view.queue:
        wait = waiting(row, demand, stand(row, claims.get(row.node, 0), view.output, now))
        return Decision(
            Action.REJECT,
            rejection=Rejection.FULL,
            rows=(Row(row.node, Rejection.FULL, short=max(short, 1), model=row.model),),
            retry_after=_bounded(wait),
        )
    return Decision(HOLD, row.node, reason, model=row.model or demand.model)


def _unheard_of(view: View) -> bool:
    """A name that no node lists, where some have said what they serve: probably a mistake, so
    nodes that are down are not troubled with it."""
    return not view.listed and bool(view.absent)


def _refuse(demand: Demand, view: View, now: float) -> Decision:
    """Nobody: the most telling of the candidates' words, and when it may be otherwise."""
    rows = [
        Row(row.node, rejection(row, demand, now), model=row.model or demand.model)
        for row in view.candidates
    ]
    words = {row.rejection for row in rows}
    word = next((word for word in TELLING if word in words), Rejection.NO_MODEL)
    if demand.model and word is not Rejection.FULL and (not rows or _unheard_of(view)):
        word = Rejection.UNKNOWN_MODEL
    back = [row.alone_until - now for row in view.candidates if now < row.alone_until]
    return Decision(
        Action.REJECT,
        rejection=word,
        rows=(*rows, *_absent(view))[:SAMPLE],
        retry_after=_bounded(min(back)) if back else None,
    )


def _bounded(seconds: float) -> float:
    return min(max(seconds, RETRY_AFTER[0]), RETRY_AFTER[1])
