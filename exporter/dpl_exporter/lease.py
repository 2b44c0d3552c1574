"""Leases on this node's slots: pure bookkeeping, `now` (monotonic seconds) is an argument.

Contract: one owner holds at most one lease; the leased slots never exceed the capacity at the
moment of granting; an exclusive lease is alone. Deadlines are durations from `now`, no clock is
read here. Tokens come from `next_token`, which must rise strictly (see journal.py).

Not safe for threads: LeaseDesk (desk.py) is the one critical section around it.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

HOLD_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Upper bounds of dpl_lock_hold_seconds, in seconds."""

ANONYMOUS = "anonymous"
"""Name of the holder of a lease that was asked for without a body."""


class Ended(StrEnum):
    """Why a lease ended: label `reason` of dpl_lock_releases_total."""

    CLIENT = "client"
    EXPIRED = "expired"
    FORCED = "forced"


@dataclass(frozen=True, slots=True)
class Ask:
    """What a caller wants. None = as the lease that is renewed, else the default."""

    owner: str
    ttl: float
    """Seconds, in (0, 300]."""
    slots: int | None = None
    exclusive: bool | None = None
    token: int | None = None
    priority: int | None = None
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """`since` and `deadline` are monotonic seconds."""

    owner: str
    token: int
    slots: int
    exclusive: bool
    priority: int
    since: float
    deadline: float
    anonymous: bool


@dataclass(slots=True)
class Counts:
    """What happened since the process started; the lease collector exports it."""

    granted: int = 0
    conflicts: int = 0
    stale: int = 0
    released: dict[Ended, int] = field(default_factory=lambda: dict.fromkeys(Ended, 0))
    held: list[int] = field(default_factory=lambda: [0] * (len(HOLD_BUCKETS) + 1))
    """Ended leases per bucket, not cumulative; the last is +Inf."""
    held_seconds: float = 0.0


class Busy(Exception):
    """Not enough free slots, or the owner holds a lease and showed no token.

    `wait`: seconds until it may be worth asking again.
    """

    def __init__(self, reason: str, wait: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class NeverFits(Busy):
    """More slots than the node has: waiting does not help."""


class Stale(Exception):
    """The token is not that owner's current one. Nothing was changed."""


class Leases:
    """All leases of this node."""

    def __init__(self, capacity: int, next_token: Callable[[], int]) -> None:
        self.capacity = capacity
        """Slots of the node; may change at any time, running leases are kept."""
        self.counts = Counts()
        self.newest_token = 0
        self._next_token = next_token
        self._leases: dict[str, Lease] = {}

    def acquire(self, ask: Ask, now: float) -> Lease:
        """Grant or renew. Raises: Busy, Stale; both leave every lease as it was."""
        self.expire(now)
        current = self._leases.get(ask.owner)
        if ask.token is not None:
            if current is None or current.token != ask.token:
                self.counts.stale += 1
                raise Stale
            return self._renew(current, ask, now)
        try:
            return self._grant(current, ask, now)
        except Busy:
            self.counts.conflicts += 1
            raise

    def release(self, owner: str, token: int, now: float) -> Lease:
        """End that owner's lease. Raises: Stale, and nothing is changed."""
        self.expire(now)
        current = self._leases.get(owner)
        if current is None or current.token != token:
            self.counts.stale += 1
            raise Stale
        self._end(current, Ended.CLIENT, now)
        return current

    def release_anonymous(self, now: float) -> Lease | None:
        """End the anonymous lease; None where nothing at all is held (so it can be repeated).

        Raises: Busy where only named owners hold leases: those are never touched.
        """
        self.expire(now)
        for lease in self._leases.values():
            if lease.anonymous:
                self._end(lease, Ended.CLIENT, now)
                return lease
        if self._leases:
            raise Busy("the lease belongs to an owner, who must send its token", self._soonest(now))
        return None

    def release_all(self, now: float) -> tuple[Lease, ...]:
        """End every lease, whoever holds it."""
        self.expire(now)
        ended = self.holders()
        for lease in ended:
            self._end(lease, Ended.FORCED, now)
        return ended

    def expire(self, now: float) -> None:
        """End what has passed its deadline. A lease is over at its deadline, not after it."""
        for lease in self.holders():
            if lease.deadline <= now:
                self._end(lease, Ended.EXPIRED, lease.deadline)

    def holders(self) -> tuple[Lease, ...]:
        """Current leases, oldest first. Call `expire` before where it matters."""
        return tuple(self._leases.values())

    def in_use(self) -> int:
        """Leased slots; an exclusive lease uses the whole node. May exceed a capacity that fell."""
        if self.exclusive():
            return self.capacity
        return sum(lease.slots for lease in self._leases.values())

    def free(self) -> int:
        return max(0, self.capacity - self.in_use())

    def exclusive(self) -> bool:
        return any(lease.exclusive for lease in self._leases.values())

    def _grant(self, current: Lease | None, ask: Ask, now: float) -> Lease:
        if current is not None:
            raise Busy("this owner holds a lease: send its token to renew", current.deadline - now)
        slots, exclusive = ask.slots or 1, ask.exclusive or False
        if slots > self.capacity:
            raise NeverFits(f"this node has {self.capacity} slots in all", 0.0)
        self._must_fit(slots, exclusive, None, now)
        token = self._next_token()
        lease = Lease(
            owner=ask.owner,
            token=token,
            slots=slots,
            exclusive=exclusive,
            priority=ask.priority or 0,
            since=now,
            deadline=now + ask.ttl,
            anonymous=ask.anonymous,
        )
        self._leases[ask.owner] = lease
        self.newest_token = token
        self.counts.granted += 1
        return lease

    def _renew(self, current: Lease, ask: Ask, now: float) -> Lease:
        slots = current.slots if ask.slots is None else ask.slots
        exclusive = current.exclusive if ask.exclusive is None else ask.exclusive
        if slots > current.slots or exclusive != current.exclusive:
            self._must_fit(slots, exclusive, current, now)
        renewed = replace(
            current,
            slots=slots,
            exclusive=exclusive,
            priority=current.priority if ask.priority is None else ask.priority,
            deadline=now + ask.ttl,
        )
        self._leases[current.owner] = renewed
        return renewed

    def _must_fit(self, slots: int, exclusive: bool, own: Lease | None, now: float) -> None:
        others = [lease for lease in self._leases.values() if lease is not own]
        if any(lease.exclusive for lease in others):
            raise Busy("the node is held exclusively", others[0].deadline - now)
        if exclusive and others:
            last = max(lease.deadline for lease in others)
            raise Busy("others hold leases: it cannot be had exclusively", last - now)
        if slots > self.capacity - sum(lease.slots for lease in others):
            raise Busy("not enough free slots", self._soonest(now))

    def _soonest(self, now: float) -> float:
        return min((lease.deadline - now for lease in self._leases.values()), default=0.0)

    def _end(self, lease: Lease, why: Ended, when: float) -> None:
        del self._leases[lease.owner]
        held = when - lease.since
        self.counts.released[why] += 1
        self.counts.held[bisect_left(HOLD_BUCKETS, held)] += 1
        self.counts.held_seconds += held
