"""What operators do to a node: cordon, drain, lock, and back. Handlers call it; it decides."""

import asyncio
import time
from collections.abc import Callable

import msgspec

from dpl_router.dispatch.dispatcher import Dispatcher
from dpl_router.errors import Conflict, NotFound
from dpl_router.fleet.barred import cordons_on, lock_on
from dpl_router.fleet.leases import leases_of
from dpl_router.fleet.schemas import (
    Cordoned,
    Drained,
    DrainWish,
    Locked,
    LockWish,
    NodeLease,
    Uncordoned,
    Unlocked,
)
from dpl_router.fleet.service import Fleet
from dpl_router.fleet.unlock import unlock_all
from dpl_router.inventory.types import Inventory, Node
from dpl_router.nodes.cordoning import Cordoning
from dpl_router.nodes.lease_client import LeaseClient
from dpl_router.nodes.locks import Locks
from dpl_router.scheduling.core import SchedulerCore

LOOK_SECONDS = 0.1
CUT_SECONDS = 2.0
"""For what was cut to give its place back."""


class Leases:
    """The lease API of each node that has an exporter, by node name."""

    def __init__(self, clients: dict[str, LeaseClient]) -> None:
        self.clients = clients


class Operating:
    """Names of nodes that nodes.yaml does not have are NotFound everywhere."""

    def __init__(
        self,
        inventory: Callable[[], Inventory],
        core: SchedulerCore,
        dispatcher: Dispatcher,
        cordoning: Cordoning,
        locks: Locks,
        leases: Leases,
        fleet: Fleet,
    ) -> None:
        self._inventory = inventory
        self._core = core
        self._dispatcher = dispatcher
        self._cordoning = cordoning
        self._locks = locks
        self._leases = leases
        self._fleet = fleet

    async def cordon(self, name: str, who: str, why: str) -> Cordoned:
        """Send nothing new there; running answers finish. Again: who and why are the latest."""
        node = self._node(name)
        return self._shown(node, await self._cordoning.by_operator(name, who, why))

    async def uncordon(self, name: str) -> Uncordoned:
        """Whoever cordoned it; an alert that still fires cordons it again at its next repeat.

        Raises: Conflict, where nodes.yaml itself says so; then nothing has changed.
        """
        node = self._node(name)
        if node.cordoned:
            raise Conflict(f"nodes.yaml says `cordoned: true` of {name}: take that line out")
        lifted, kept = await self._cordoning.lift_all(name)
        shown = msgspec.structs.asdict(self._shown(node, kept))
        now = next(one for one in self._fleet.status() if one.name == name)
        return Uncordoned(**shown, lifted=len(lifted), state=now.state, reason=now.reason)

    async def drain(self, cordoned: Cordoned, wish: DrainWish) -> Drained:
        """Wait until nothing of ours runs on a node that was cordoned for it; the cordon stays in
        any case.

        Raises: Conflict, where somebody uncordons the node meanwhile.
        """
        name, began = cordoned.node, time.monotonic()
        node = self._node(name)
        patience = self._inventory().router.drain if wish.timeout is None else wish.timeout
        await self._idle(node, began + patience)
        cut = 0
        if self._core.busy(name) and wish.force:
            cut = self._dispatcher.running.cut(name, f"{name} was drained by an operator")
            await self._idle(node, time.monotonic() + CUT_SECONDS)
        running = self._core.busy(name)
        seconds = round(time.monotonic() - began, 1)
        return Drained(name, running == 0, running, cut, seconds, cordoned.kept)

    async def lock(self, name: str, who: str, wish: LockWish) -> Locked:
        """Raises: Conflict, where the node is not to be had whole."""
        self._node(name)
        patience = self._inventory().router.drain if wish.timeout is None else wish.timeout
        lock = lock_on(await self._locks.take(name, who, wish.reason, patience))
        assert lock is not None
        return Locked(name, lock)

    async def unlock(self, name: str) -> Unlocked:
        """Our own lock, also on a node that nodes.yaml has no more; where there is none, whoever
        holds the node."""
        if await self._locks.release(name):
            return Unlocked(name, "released")
        self._node(name)
        return (await unlock_all([name], self._leases.clients))[0]

    async def unlock_all(self) -> list[Unlocked]:
        """Of every node, whoever holds it; our locks end, too."""
        ours = self._locks.nodes()
        await self._locks.close()
        names = [node.name for node in self._inventory().nodes]
        return [
            Unlocked(one.node, "released")
            if one.outcome == "nothing was held" and one.node in ours
            else one
            for one in await unlock_all(names, self._leases.clients)
        ]

    async def leases(self) -> list[NodeLease]:
        """Of every node, whoever holds it."""
        names = [node.name for node in self._inventory().nodes]
        return await leases_of(names, self._leases.clients)

    def _node(self, name: str) -> Node:
        for node in self._inventory().nodes:
            if node.name == name:
                return node
        raise NotFound(f"there is no node {name!r}; GET /api/status/all lists them")

    def _shown(self, node: Node, kept: bool) -> Cordoned:
        cordons = cordons_on(node, self._cordoning.now.on(node.name))
        return Cordoned(node.name, bool(cordons), kept, cordons, self._core.busy(node.name))

    async def _idle(self, node: Node, end: float) -> None:
        """Until nothing runs there, or `end`."""
        while self._core.busy(node.name) and time.monotonic() < end:
            if not self._cordoning.now.get(node.name, ""):
                raise Conflict(f"{node.name} was uncordoned while it was drained")
            await asyncio.sleep(LOOK_SECONDS)
