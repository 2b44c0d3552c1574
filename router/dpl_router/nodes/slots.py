"""Leases taken beside the request, held while in use, returned within a second of idleness.

A request never waits for this: `wanted` only says that there is work. What a refusal means for
requests under way is told through `Listener`; the count of open requests is the scheduler's.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from dpl_router.control import NO_ANSWER
from dpl_router.errors import DplError
from dpl_router.metrics import LeaseMetrics
from dpl_router.nodes.lease_client import Granted, KeyRefused, LeaseClient, NeverFits, Refused

LOOK_SECONDS = 0.2
IDLE_SECONDS = 0.4
SMALLER_SECONDS = 0.1
"""What did not fit is asked for again so soon, and less of it."""
FAILURE_SECONDS = 3.0
"""A failure is remembered so long before the exporter is asked again."""
MOST_SLOTS = 10_000

log = structlog.get_logger()


class Listener(Protocol):
    """Who wants to know what lease answers say of others."""

    def on_others(self, node: str, slots: int) -> None:
        """Others hold so many slots of the node."""
        ...

    def on_exclusive(self, node: str, seconds: float) -> None:
        """Somebody holds the whole node, for at most so long."""
        ...


@dataclass(slots=True)
class _Lease:
    token: int
    slots: int
    since: float
    asked_at: float
    """Before the request left: the lease counts as lost at `asked_at` + `ttl`."""
    ttl: float


class NodeSlots:
    """One node's lease. The task lives only while there is work or a lease."""

    def __init__(
        self,
        node: str,
        client: LeaseClient,
        owner: str,
        *,
        busy: Callable[[], int],
        listener: Listener,
        metrics: LeaseMetrics,
        ttl: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._client = client
        self._owner = owner
        self._busy = busy
        self._listener = listener
        self._metrics = metrics
        self._clock = clock
        self.ttl = ttl
        """Seconds; for the next lease, and for the one that is held from its next renewal on."""
        self._lease: _Lease | None = None
        self._room = MOST_SLOTS
        """What the exporter can give us, as far as its answers tell."""
        self._ask_again_at = 0.0
        self.failing: DplError | None = None
        """Why the last call gave no answer; None where it gave one."""
        self._task: asyncio.Task[None] | None = None
        self._more = asyncio.Event()
        self._closing = False

    @property
    def token(self) -> int | None:
        """The fencing token in force; None where no lease is held."""
        return self._lease.token if self._lease is not None else None

    def wanted(self) -> None:
        """There is one more request on the node. Costs nothing where the lease covers it."""
        if self._closing:
            return
        if self._task is None or self._task.done():
            self._more.set()
            self._task = asyncio.get_running_loop().create_task(self._hold())
        elif self._lease is None or self._busy() > self._lease.slots:
            self._more.set()

    async def close(self) -> None:
        """Return the lease now, also while requests run; waits for two exporter calls at most."""
        self._closing = True
        self._more.set()
        if self._task is not None:
            await self._task

    async def _hold(self) -> None:
        idle_since: float | None = None
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), LOOK_SECONDS)
            self._more.clear()
            now = self._clock()
            busy = 0 if self._closing else self._busy()
            if busy:
                idle_since = None
                await self._cover(busy, now)
                continue
            idle_since = idle_since or now
            if self._lease is None or self._closing or now - idle_since >= IDLE_SECONDS:
                await self._return()
                if self._closing or not self._busy():
                    return

    async def _cover(self, busy: int, now: float) -> None:
        lease = self._lease
        if lease is not None and now >= lease.asked_at + lease.ttl:
            self._lost("expired")
            lease = None
        wish, ttl = min(busy, self._room), self.ttl
        covered = lease is not None and wish <= lease.slots
        due = lease is not None and now >= lease.asked_at + lease.ttl / 3
        if (covered and not due) or now < self._ask_again_at:
            return
        try:
            answer = await self._client.lock(wish, ttl, lease.token if lease else None)
        except NO_ANSWER as error:
            self._ask_again_at = self._clock() + FAILURE_SECONDS
            self._count("error", renewing=lease is not None)
            self._failed(error)
            return
        self._worked()
        if lease is None:
            self._metrics.acquire_seconds.observe(self._clock() - now)
        if isinstance(answer, Granted):
            self._granted(answer, now, ttl)
        elif isinstance(answer, NeverFits):
            self._never_fits(now, wish)
        else:
            self._refused(answer, now, wish)

    def _granted(self, answer: Granted, asked_at: float, ttl: float) -> None:
        renewing = self._lease is not None
        since = self._lease.since if self._lease is not None else asked_at
        self._lease = _Lease(answer.token, answer.slots, since, asked_at, ttl)
        self._room = answer.slots + answer.free
        if not renewing:
            self._metrics.in_use.inc()
        self._count("granted", renewing=renewing)

    def _never_fits(self, asked_at: float, wish: int) -> None:
        """A node may also have lost slots since it leased them: then less is to be renewed."""
        held = self._lease.slots if self._lease is not None else 0
        self._room = max(wish // 2, held if held < wish else 1)
        self._ask_again_at = asked_at + SMALLER_SECONDS
        self._count("conflict", renewing=False)

    def _refused(self, answer: Refused, asked_at: float, wish: int) -> None:
        """Shared use goes on in any case; only an exclusive lease of a stranger ends attempts."""
        self._ask_again_at = asked_at + min(FAILURE_SECONDS, max(0.2, answer.expires_in))
        exclusive = answer.exclusive_of_others(self._owner)
        if self._lease is not None and not answer.knows(self._owner) and not exclusive:
            # it was started anew, or made to let go: the size of the wish was not what it refused
            self._ask_again_at = asked_at + SMALLER_SECONDS
            self._count("conflict", renewing=True)
            self._lost("the exporter knows of none")
            self._listener.on_others(self._node, answer.slots_of_others(self._owner))
            return
        held = self._lease.slots if self._lease is not None else 0
        grows = 0 < held < wish and not exclusive
        if wish > max(held, 1) and not exclusive:
            # how much would fit is not told: half of it, until an answer tells what is free; a
            # lease that cannot grow must not ask for more when it is renewed
            self._room = max(held, 1, wish // 2)
            self._ask_again_at = asked_at + SMALLER_SECONDS
        self._count("conflict", renewing=self._lease is not None and not grows)
        if self._lease is not None and not grows:
            self._lost("exclusive" if exclusive else "token unknown")
        if exclusive:
            self._listener.on_exclusive(self._node, answer.expires_in)
        else:
            self._listener.on_others(self._node, answer.slots_of_others(self._owner))

    async def _return(self) -> None:
        lease, self._lease = self._lease, None
        if lease is None:
            return
        self._metrics.in_use.dec()
        try:
            await self._client.unlock(lease.token)
        except NO_ANSWER:
            return  # it lapses by itself
        log.debug("lease returned", node=self._node, held_seconds=self._since(lease))

    def _lost(self, why: str) -> None:
        if self._lease is not None:
            held = self._since(self._lease)
            log.info("lease lost", node=self._node, why=why, held_seconds=held)
            self._metrics.in_use.dec()
            self._metrics.lost.inc()
            self._lease = None

    def _failed(self, error: DplError) -> None:
        """Chats run on without a lease: once for each reason it is said."""
        known, self.failing = self.failing, error
        if known is not None and known.message == error.message:
            return
        key = isinstance(error, KeyRefused)
        todo = "set exporter_key or DPL_API_KEY" if key else "see whether the exporter runs"
        log.warning("lease not taken", node=self._node, why=error.message, next=todo)

    def _worked(self) -> None:
        if self.failing is not None:
            log.info("leases work again", node=self._node)
            self.failing = None

    def _count(self, outcome: str, *, renewing: bool) -> None:
        if renewing:
            word = {"granted": "renewed", "conflict": "lost", "error": "error"}[outcome]
            self._metrics.renewals[word].inc()  # type: ignore[index]
        else:
            self._metrics.acquisitions[outcome].inc()  # type: ignore[index]

    def _since(self, lease: _Lease) -> float:
        return round(self._clock() - lease.since, 1)
