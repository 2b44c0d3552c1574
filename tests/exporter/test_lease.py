"""The lease book against a model, and each of its promises alone."""

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from dpl_exporter.lease import ANONYMOUS, Ask, Busy, Ended, Lease, Leases, NeverFits, Stale

OWNERS = st.sampled_from(["a", "b", "c"])
TTLS = st.sampled_from([0.5, 1.0, 60.0, 300.0])


def book(capacity: int = 4) -> Leases:
    return Leases(capacity, count(1000).__next__)


def anonymous() -> Ask:
    return Ask(owner=ANONYMOUS, ttl=60.0, exclusive=True, anonymous=True)


def test_an_owner_gets_the_slots_it_asked_for_and_one_where_it_named_none() -> None:
    leases = book()

    one = leases.acquire(Ask("a", 10.0), now=0.0)
    two = leases.acquire(Ask("b", 10.0, slots=2), now=0.0)

    assert (one.slots, two.slots, leases.free()) == (1, 2, 1)
    assert leases.holders() == (one, two)


def test_a_renewal_keeps_the_token_and_moves_the_deadline() -> None:
    leases = book()
    lease = leases.acquire(Ask("a", 10.0, slots=2, priority=3), now=0.0)

    renewed = leases.acquire(Ask("a", 10.0, token=lease.token), now=5.0)

    assert renewed.token == lease.token
    assert renewed.deadline == 15.0
    assert (renewed.slots, renewed.priority, renewed.since) == (2, 3, 0.0)
    assert leases.counts.granted == 1


def test_a_renewal_may_change_slots_priority_and_exclusiveness() -> None:
    leases = book()
    token = leases.acquire(Ask("a", 10.0, slots=3), now=0.0).token

    less = leases.acquire(Ask("a", 10.0, slots=1, priority=7, token=token), now=1.0)
    whole = leases.acquire(Ask("a", 10.0, exclusive=True, token=token), now=1.0)
    free_while_exclusive = leases.free()
    shared = leases.acquire(Ask("a", 10.0, exclusive=False, slots=4, token=token), now=1.0)

    assert (less.slots, less.priority) == (1, 7)
    assert whole.exclusive
    assert free_while_exclusive == 0
    assert (shared.exclusive, shared.slots) == (False, 4)


def test_a_change_that_does_not_fit_keeps_the_old_lease() -> None:
    leases = book()
    lease = leases.acquire(Ask("a", 10.0, slots=2), now=0.0)
    leases.acquire(Ask("b", 10.0, slots=2), now=0.0)

    for ask in (
        Ask("a", 99.0, slots=3, token=lease.token),
        Ask("a", 99.0, exclusive=True, token=lease.token),
    ):
        with pytest.raises(Busy):
            leases.acquire(ask, now=1.0)

    assert leases.holders()[0] == lease
    assert leases.counts.conflicts == 0, "renewals do not count"


def test_a_lease_that_has_more_than_a_capacity_that_fell_can_still_be_renewed() -> None:
    """Otherwise a server that restarts with fewer slots would take them from running answers."""
    leases = book(capacity=4)
    token = leases.acquire(Ask("a", 10.0, slots=4), now=0.0).token
    leases.capacity = 2

    renewed = leases.acquire(Ask("a", 10.0, token=token), now=1.0)

    assert renewed.slots == 4
    assert leases.free() == 0


def test_a_call_without_the_token_is_refused_while_the_owner_holds_a_lease() -> None:
    leases = book()
    lease = leases.acquire(Ask("a", 10.0), now=0.0)

    with pytest.raises(Busy) as refused:
        leases.acquire(Ask("a", 99.0), now=4.0)

    assert refused.value.wait == 6.0
    assert leases.holders() == (lease,)
    assert leases.counts.conflicts == 1


@pytest.mark.parametrize("held_by", ["a", "b", None])
def test_a_token_that_is_not_current_is_refused_also_when_the_node_is_free(
    held_by: str | None,
) -> None:
    leases = book()
    if held_by:
        leases.acquire(Ask(held_by, 10.0), now=0.0)
    before = leases.holders()

    with pytest.raises(Stale):
        leases.acquire(Ask("a", 10.0, token=1), now=1.0)
    with pytest.raises(Stale):
        leases.release("a", 1, now=1.0)

    assert leases.holders() == before
    assert leases.counts.stale == 2


def test_an_exclusive_lease_is_alone() -> None:
    leases = book()
    leases.acquire(Ask("a", 10.0, exclusive=True), now=0.0)

    with pytest.raises(Busy) as refused:
        leases.acquire(Ask("b", 10.0), now=3.0)

    assert refused.value.wait == 7.0
    assert leases.in_use() == 4


def test_an_exclusive_lease_waits_for_the_last_of_the_others() -> None:
    leases = book()
    leases.acquire(Ask("a", 10.0), now=0.0)
    leases.acquire(Ask("b", 20.0), now=0.0)

    with pytest.raises(Busy) as refused:
        leases.acquire(Ask("c", 10.0, exclusive=True), now=0.0)

    assert refused.value.wait == 20.0


def test_more_slots_than_there_are_never_fit() -> None:
    """Nothing is told of waiting: it would not help."""
    leases = book(capacity=2)

    with pytest.raises(NeverFits):
        leases.acquire(Ask("a", 10.0, slots=3), now=0.0)

    assert leases.holders() == ()
    assert leases.counts.conflicts == 1


def test_a_lease_is_over_at_its_deadline() -> None:
    leases = book()
    token = leases.acquire(Ask("a", 10.0, slots=4), now=0.0).token

    leases.expire(9.999)
    still_held = leases.holders()
    with pytest.raises(Stale):
        leases.acquire(Ask("a", 10.0, token=token), now=10.0)

    assert still_held
    assert leases.holders() == ()
    assert leases.counts.released[Ended.EXPIRED] == 1


def test_how_long_leases_were_held_is_counted() -> None:
    leases = book()
    first = leases.acquire(Ask("a", 10.0), now=0.0)
    leases.release("a", first.token, now=1.0)
    leases.acquire(Ask("b", 10.0), now=0.0)
    leases.expire(99.0)
    leases.acquire(Ask("c", 300.0), now=100.0)
    ended = leases.release_all(now=103.0)

    assert [one.owner for one in ended] == ["c"]
    assert leases.counts.held[:3] == [1, 1, 1]
    assert leases.counts.held_seconds == 14.0
    assert leases.counts.released == {Ended.CLIENT: 1, Ended.EXPIRED: 1, Ended.FORCED: 1}


def test_an_anonymous_lease_ends_without_a_token_as_often_as_one_likes() -> None:
    leases = book()
    leases.acquire(anonymous(), now=0.0)

    first = leases.release_anonymous(now=1.0)
    second = leases.release_anonymous(now=1.0)

    assert first is not None
    assert first.owner == ANONYMOUS
    assert second is None


def test_releasing_anonymously_never_touches_an_owner_not_even_one_of_that_name() -> None:
    leases = book()
    lease = leases.acquire(Ask(ANONYMOUS, 10.0, exclusive=True), now=0.0)

    with pytest.raises(Busy):
        leases.release_anonymous(now=1.0)

    assert leases.holders() == (lease,)


class LeaseMachine(RuleBasedStateMachine):
    """Any history against a model that knows only: who holds what, until when."""

    tokens = Bundle("tokens")

    @initialize(capacity=st.integers(1, 5))
    def open(self, capacity: int) -> None:
        self.capacity = capacity
        self.leases = book(capacity)
        self.now = 0.0
        self.model: dict[str, Lease] = {}
        self.highest = 0

    @rule(seconds=st.sampled_from([0.0, 0.25, 0.5, 1.0, 59.0, 300.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.model = {k: one for k, one in self.model.items() if one.deadline > self.now}
        self.leases.expire(self.now)

    @rule(
        target=tokens,
        owner=OWNERS,
        ttl=TTLS,
        slots=st.integers(1, 6),
        exclusive=st.booleans(),
    )
    def lock(self, owner: str, ttl: float, slots: int, exclusive: bool) -> object:
        used = sum(one.slots for one in self.model.values())
        alone = not self.model
        fits = slots <= self.capacity - used and (alone or not exclusive)
        fits = fits and not any(one.exclusive for one in self.model.values())
        lease = next(_granted(self.leases, Ask(owner, ttl, slots, exclusive), self.now), None)
        if lease is None:
            assert owner in self.model or not fits
            return multiple()
        assert owner not in self.model
        assert fits
        assert lease.token > self.highest
        self.highest = lease.token
        self.model[owner] = lease
        return (owner, lease.token)

    @rule(held=tokens, ttl=TTLS, slots=st.none() | st.integers(1, 6))
    def renew(self, held: tuple[str, int], ttl: float, slots: int | None) -> None:
        owner, token = held
        mine = self.model.get(owner)
        ask = Ask(owner, ttl, slots, token=token)
        if mine is None or mine.token != token:
            with pytest.raises(Stale):
                self.leases.acquire(ask, self.now)
            return
        others = sum(one.slots for key, one in self.model.items() if key != owner)
        wanted = slots or mine.slots
        if wanted > mine.slots and wanted > self.capacity - others:
            with pytest.raises(Busy):
                self.leases.acquire(ask, self.now)
            return
        lease = self.leases.acquire(ask, self.now)
        assert (lease.token, lease.slots, lease.deadline) == (token, wanted, self.now + ttl)
        self.model[owner] = lease

    @rule(held=consumes(tokens))
    def unlock(self, held: tuple[str, int]) -> None:
        owner, token = held
        mine = self.model.get(owner)
        if mine is None or mine.token != token:
            with pytest.raises(Stale):
                self.leases.release(owner, token, self.now)
            return
        self.leases.release(owner, token, self.now)
        del self.model[owner]

    @rule(owner=OWNERS, token=st.integers(0, 999))
    def unlock_with_an_invented_token(self, owner: str, token: int) -> None:
        with pytest.raises(Stale):
            self.leases.release(owner, token, self.now)

    @rule()
    def force(self) -> None:
        self.leases.release_all(self.now)
        self.model.clear()

    @invariant()
    def the_book_is_the_model(self) -> None:
        assert {one.owner: one for one in self.leases.holders()} == self.model

    @invariant()
    def never_more_than_the_capacity_and_exclusive_is_alone(self) -> None:
        assert sum(one.slots for one in self.model.values()) <= self.capacity
        assert self.leases.in_use() <= self.capacity
        assert len(self.model) <= 1 or not self.leases.exclusive()

    @invariant()
    def every_lease_that_began_either_runs_or_ended_once(self) -> None:
        counts = self.leases.counts
        assert counts.granted == len(self.model) + sum(counts.released.values())
        assert sum(counts.held) == sum(counts.released.values())


LeaseMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLeaseHistories = LeaseMachine.TestCase


@settings(deadline=None)
@given(st.lists(st.tuples(OWNERS, TTLS, st.floats(0.0, 400.0)), max_size=30))
def test_no_lease_outlives_its_ttl(calls: list[tuple[str, float, float]]) -> None:
    leases = book()
    now = 0.0
    promised: dict[str, float] = {}
    for owner, ttl, pause in calls:
        now += pause
        for lease in _granted(leases, Ask(owner, ttl), now):
            promised[lease.owner] = now + ttl

        leases.expire(now)
        assert all(promised[one.owner] > now for one in leases.holders())


def _granted(leases: Leases, ask: Ask, now: float) -> Iterator[Lease]:
    try:
        yield leases.acquire(ask, now)
    except Busy:
        return
