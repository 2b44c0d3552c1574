"""Nodes that an operator holds whole: an exclusive lease each, renewed until it is let go of.

While a lock stands nothing of ours is sent there, also while its lease cannot be had or renewed.
A router that dies leaves the lease to lapse; one that starts again knows of no lock.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from dpl_router.control import NO_ANSWER, Control
from dpl_router.errors import Conflict
from dpl_router.nodes.lease_client import Granted, KeyRefused, LeaseClient
from dpl_router.nodes.slots import NodeSlots

LOOK_SECONDS = 0.5
AGAIN_SECONDS = 0.2
LONGEST_NAME = 60

log = structlog.get_logger()


@dataclass(slots=True)
class Lock:
    node: str
    by: str
    why: str
    since: float
    """Seconds since 1970."""
    token: int | None = None
    """None: the exporter has not granted it, or has taken it back."""
    asked_at: float = 0.0
    ttl: float = 0.0
    standing: bool = False
    """It was granted once, and is renewed."""
    problem: str | None = None
    """Why it is not held now."""


class Locks:
    """`ttl` in seconds; `changed` is called when a lock begins to stand or ends."""

    def __init__(
        self,
        exporters: Mapping[str, Control],
        slots: Mapping[str, NodeSlots],
        busy: Callable[[str], int],
        owner: str,
        ttl: Callable[[], float],
    ) -> None:
        self._exporters = exporters
        self._slots = slots
        self._busy = busy
        self._owner = owner
        self._ttl = ttl
        self._locks: dict[str, Lock] = {}
        self.changed: Callable[[], None] = lambda: None

    def nodes(self) -> frozenset[str]:
        return frozenset(self._locks)

    def on(self, node: str) -> Lock | None:
        return self._locks.get(node)

    def holder(self, node: str) -> str | None:
        """Which operator locked it."""
        lock = self.on(node)
        return lock.by if lock is not None else None

    async def take(self, node: str, by: str, why: str, patience: float) -> Lock:
        """Send nothing new there, wait for what runs, then hold the node.

        Raises: Conflict where that is not to be had within `patience` seconds, or where it is let
        go of meanwhile; then nothing has changed. KeyRefused where the exporter wants another key.
        """
        known = self._locks.get(node)
        if known is not None:
            raise Conflict(f"{node} is locked already by {known.by}")
        if node not in self._exporters:
            raise Conflict(f"{node} has no exporter that could keep a lock; cordon it instead")
        lock = self._locks[node] = Lock(node, by, why, time.time())
        self.changed()
        try:
            await self._granted(lock, time.monotonic() + patience)
        except BaseException:
            await self._end(lock)
            raise
        lock.standing = True
        log.info("node locked", node=node, by=by)
        return lock

    async def release(self, node: str) -> bool:
        """False where we had none. An exporter that does not answer lets it lapse."""
        lock = self._locks.get(node)
        return lock is not None and await self._end(lock)

    async def run(self) -> None:
        """Until cancelled: renew what is due, ask again for what was lost."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            due = [
                lock
                for lock in self._locks.values()
                if lock.standing and (lock.token is None or now >= lock.asked_at + lock.ttl / 3)
            ]
            await asyncio.gather(*(self._renew(lock) for lock in due))

    async def close(self) -> None:
        """Give all back, side by side."""
        await asyncio.gather(*(self.release(node) for node in list(self._locks)))

    async def _end(self, lock: Lock) -> bool:
        """False where it had ended: what stands there now is another one's."""
        if self._gone(lock):
            return False
        del self._locks[lock.node]
        await self._give_back(lock)
        self.changed()
        if lock.standing:
            held = round(time.time() - lock.since, 1)
            log.info("node unlocked", node=lock.node, held_seconds=held)
        return True

    def _gone(self, lock: Lock) -> bool:
        return self._locks.get(lock.node) is not lock

    async def _granted(self, lock: Lock, end: float) -> None:
        while True:
            problem = self._occupied(lock.node) or await self._ask(lock)
            if self._gone(lock):
                raise Conflict(f"{lock.node} was unlocked while its lock was waited for")
            if problem is None:
                return
            if time.monotonic() >= end:
                raise Conflict(f"{lock.node} cannot be locked: {problem}")
            await asyncio.sleep(AGAIN_SECONDS)

    def _occupied(self, node: str) -> str | None:
        """By ourselves: our shared lease goes back when our last answer there has ended."""
        running, slots = self._busy(node), self._slots.get(node)
        if running:
            return f"answers that run there: {running}"
        return "our lease is on its way back" if slots and slots.token is not None else None

    async def _renew(self, lock: Lock) -> None:
        before = lock.problem
        try:
            lock.problem = await self._ask(lock)
        except KeyRefused as error:
            lock.problem = error.message
        if lock.problem is not None and lock.problem != before:
            log.warning("lock not held", node=lock.node, by=lock.by, why=lock.problem)

    async def _ask(self, lock: Lock) -> str | None:
        """None: it is ours. Else why not. Raises: KeyRefused."""
        client = self._client(lock)
        if client is None:
            return "the node has no exporter any more"
        lock.asked_at, lock.ttl = time.monotonic(), self._ttl()
        try:
            answer = await client.lock_whole(lock.ttl, lock.token)
        except KeyRefused:
            raise
        except NO_ANSWER as error:
            return error.message
        if isinstance(answer, Granted):
            lock.token = answer.token
            if self._gone(lock):
                await self._give_back(lock)  # it was let go of meanwhile
            return None
        lock.token = None
        holders = ", ".join(sorted({holder.owner for holder in answer.holders})) or "somebody"
        return f"it is held by {holders}"

    def _client(self, lock: Lock) -> LeaseClient | None:
        control = self._exporters.get(lock.node)
        name = "".join(sign for sign in lock.by if sign.isprintable())[:LONGEST_NAME]
        return LeaseClient(control, f"{self._owner}:lock:{name}") if control is not None else None

    async def _give_back(self, lock: Lock) -> None:
        token, lock.token = lock.token, None
        client = self._client(lock)
        if client is None or token is None:
            return
        try:
            await client.unlock(token)
        except NO_ANSWER:
            return  # it lapses by itself
