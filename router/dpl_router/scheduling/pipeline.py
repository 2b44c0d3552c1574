"""decide(): filter -> price -> choose, with reasons. Pure.

`decide` answers without rows, `explain` gives the same answer with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple
from zlib import crc32

from dpl_router.scheduling.filters import BELIEFS, TELLING, rejection
from dpl_router.scheduling.price import (
    Standing,
    cold_start,
    itemised,
    others_now,
    price,
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


class Offer(NamedTuple):
    """A candidate that may serve, and its price."""

    cost: float
    row: Candidate
    at: Standing


class Market(NamedTuple):
    """All offers for one demand, and who was turned away for a belief."""

    offers: list[Offer]
    doubted: list[Candidate]


def decide(demand: Demand, snapshot: Snapshot, now: float) -> Decision:
    """Where `demand` goes: dispatch(node), hold(node) or reject(why).

    A rejection carries the candidates' words as rows; `unknown_model` where no node has it.
    """
    if demand.deadline is not None and now >= demand.deadline:
        return Decision(Action.REJECT, rejection=Rejection.DEADLINE)
    view = snapshot.views.get(demand.model, snapshot.strangers)
    claims = _claimed(snapshot.claims, demand.id)
    market = _market(_sample(view.candidates, demand, snapshot.seed), demand, view, claims, now)
    offer = _cheapest(market.offers, demand, snapshot.seed) if market.offers else None
    if (offer is None or offer.at.short) and len(view.candidates) > ALL:
        market = _market(view.candidates, demand, view, claims, now)
        offer = _cheapest(market.offers, demand, snapshot.seed) if market.offers else None
    if offer is not None:
        return _place(demand, view, offer, _reason(demand, offer, market.offers), now)
    if not market.doubted or _unheard_of(view):
        return _refuse(demand, view, now)
    panic = [_offer(row, demand, view, claims, now) for row in market.doubted]
    return _place(demand, view, _cheapest(panic, demand, snapshot.seed), Reason.PANIC, now)


def explain(demand: Demand, snapshot: Snapshot, now: float) -> Decision:
    """`decide`, with one row per candidate: the chosen first, then by price, then those out."""
    decision = decide(demand, snapshot, now)
    view = snapshot.views.get(demand.model, snapshot.strangers)
    claims = _claimed(snapshot.claims, demand.id)
    rows = [
        _row(row, demand, stand(row, claims.get(row.node, 0), view.output, now))
        for row in view.candidates
    ]
    rows.sort(key=lambda row: (row.node != decision.node, row.rejection or "", row.cost))
    return replace(decision, rows=(*rows, *_absent(view))[:SAMPLE])


def _row(row: Candidate, demand: Demand, at: Standing) -> Row:
    return Row(
        node=row.node,
        rejection=rejection(row, demand, at.now),
        terms=itemised(row, demand, at),
        cost=price(row, demand, at),
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
    """All of a few; of many SAMPLE in a row from a place that the demand's id names (rows lie in
    the order of their hash), from among those that have the model where those are many too."""
    if len(rows) <= ALL:
        return rows
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
) -> Market:
    market = Market([], [])
    for row in rows:
        why = rejection(row, demand, now)
        if why is None:
            market.offers.append(_offer(row, demand, view, claims, now))
        elif why in BELIEFS:
            market.doubted.append(row)
    return market


def _offer(
    row: Candidate, demand: Demand, view: View, claims: Mapping[str, int], now: float
) -> Offer:
    at = stand(row, claims.get(row.node, 0), view.output, now)
    return Offer(price(row, demand, at), row, at)


def _cheapest(offers: Sequence[Offer], demand: Demand, seed: int) -> Offer:
    """A node of unknown eligibility comes after those known to be well, unless it can start at
    less than it costs to wait for them."""
    known = [offer for offer in offers if offer.row.known]
    if known:
        best = _least(known, demand, seed)
        if best.at.short == 0 or len(known) == len(offers):
            return best
    return _least(offers, demand, seed)


def _least(offers: Sequence[Offer], demand: Demand, seed: int) -> Offer:
    """The lowest price; ties: fewest in flight, then by a hash that differs between requests."""
    lowest = min(offer.cost for offer in offers)
    tied = [offer for offer in offers if offer.cost == lowest]
    if len(tied) == 1:
        return tied[0]

    def rank(offer: Offer) -> tuple[int, int, str, str]:
        row = offer.row
        return row.in_flight, _mixed(f"{demand.id}/{row.node}", seed), row.node, row.model

    return min(tied, key=rank)


def _mixed(text: str, seed: int) -> int:
    """The checksum alone would rank any two nodes nearly alike for all requests: it is linear."""
    return crc32(text.encode(), seed) * 2654435761 % 2**32


def _reason(demand: Demand, chosen: Offer, offers: Sequence[Offer]) -> Reason:
    if demand.attempts:
        return Reason.RETRY
    if len(offers) == 1:
        return Reason.ONLY
    if chosen.row.load == 0.0:
        for cost, row, at in offers:
            if row.load and cost - cold_start(row, demand, at) < chosen.cost:
                return Reason.WARM
    return Reason.CHEAPEST


def _place(demand: Demand, view: View, offer: Offer, reason: Reason, now: float) -> Decision:
    """There at once, or in the queue: behind those that wait already, or because it is full.

    Strictly first in, first out: a newcomer waits behind the held ones of its model even where
    a place is free, since that place is the head's to take or to leave.
    """
    row = offer.row
    behind = bool(view.queue) and view.queue[0] != demand.id
    full = offer.at.short > 0 and others_now(row, now) < SHARED
    if not (behind or full):
        return Decision(Action.DISPATCH, row.node, reason, model=row.model or demand.model)
    if len(view.queue) >= view.limit and demand.id not in view.queue:
        wait = waiting(row, demand, offer.at)
        return Decision(
            Action.REJECT,
            rejection=Rejection.FULL,
            rows=(Row(row.node, Rejection.FULL, short=offer.at.short, model=row.model),),
            retry_after=_bounded(wait),
        )
    return Decision(Action.HOLD, row.node, reason, model=row.model or demand.model)


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
