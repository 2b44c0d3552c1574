"""What the router has for each node of nodes.yaml, and how a changed file changes it."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from pathlib import Path

import structlog

from dpl_router.control import Control
from dpl_router.dispatch.dispatcher import Dispatcher
from dpl_router.errors import DplError, NoModelList, NotFound
from dpl_router.fitting import Fitting, Lessee, fitted
from dpl_router.fleet.operate import Leases
from dpl_router.inventory.load import load
from dpl_router.inventory.mistakes import InventoryError, Mistake
from dpl_router.inventory.types import Inventory
from dpl_router.listing import Listed
from dpl_router.metrics import RouterMetrics
from dpl_router.nodes.locks import Locks
from dpl_router.nodes.slots import NodeSlots
from dpl_router.scheduling.core import SchedulerCore
from dpl_router.scheduling.types import NodeConfig, NodeFacts
from dpl_router.security.headers import Hosts
from dpl_router.settings import Settings
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.view import FleetView
from dpl_router.upstreams.clients import NodeClient
from dpl_router.upstreams.transport import Sweeper

DRAIN_LOOK = 0.5
TELL_EVERY = 0.1
"""Seconds between two times that the core is told what checks found."""
BREATH = 100
"""After the facts of so many nodes requests get their turn."""

log = structlog.get_logger()


class Fittings:
    """Clients, exporters and leases by node name; the dictionaries are read by whoever needs them.

    A node that goes gets nothing new at once; its connections close when its last answer is out.
    """

    def __init__(
        self,
        settings: Settings,
        inventory: Inventory,
        view: FleetView,
        core: SchedulerCore,
        metrics: RouterMetrics,
        sweeper: Sweeper,
    ) -> None:
        self._settings = settings
        self._view = view
        self._core = core
        self._metrics = metrics
        self._sweeper = sweeper
        self._fitted: dict[str, Fitting] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        # A new owner for each life: a restarted router is never taken for its former self.
        owner = f"dpl-router:{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.inventory = inventory
        self.mistakes: tuple[Mistake, ...] = ()
        """Why the file as it lies there is not the one in use; empty where it is."""
        self._refused: frozenset[Path] = frozenset()
        """Files that it names, while it is not the one in use."""
        self.clients: dict[str, NodeClient] = {}
        self.exporters: dict[str, Control] = {}
        self.leases = Leases({})
        self.slots: dict[str, NodeSlots] = {}
        self.locks = Locks(
            self.exporters,
            self.slots,
            core.busy,
            owner,
            lambda: self.inventory.router.lease_ttl,
        )
        self.locks.changed = self._bar
        self._cordoned: frozenset[str] = frozenset()
        self._lessee = Lessee(owner, core.busy, self, metrics.leases)
        self._due = asyncio.Event()
        self._told = 0
        """How often the core was told of the fleet."""
        self.dispatcher: Dispatcher | None = None
        self.hosts: Hosts | None = None
        self.apply(inventory)

    # What lease answers say of others (nodes.slots.Listener).

    def on_others(self, node: str, slots: int) -> None:
        self._core.on_lease(node, slots, time.monotonic())

    def on_exclusive(self, node: str, seconds: float) -> None:
        now = time.monotonic()
        self._core.on_exclusive(node, now + seconds, now)
        if self.dispatcher is not None:
            why = f"{node} is held exclusively by somebody else"
            self.dispatcher.running.stop_unanswered(node, why, inf)  # the node is theirs at once

    # What operators and alerts say.

    def on_cordons(self, cordoned: frozenset[str]) -> None:
        """Names of nodes; of those that are not in nodes.yaml nothing is made."""
        self._cordoned = cordoned
        self._bar()

    def _bar(self) -> None:
        self._view.bar(self._cordoned, self.locks.nodes(), time.monotonic())
        for node in self.inventory.nodes:
            held = node.cordoned or node.name in self._cordoned
            self._metrics.node(node.name).cordoned.set(held)
        self.tell_core()

    # What the own checks say.

    def on_check(
        self, node: str, models: Sequence[Listed] | None, problem: DplError | None
    ) -> None:
        if node not in self.clients:
            return
        was, now = self._view.check(node), time.monotonic()
        dialect = self.clients[node].dialect.name
        why = problem.message if problem is not None else None
        stranger = isinstance(problem, NoModelList)
        check = Check(models is not None, tuple(models or ()), why, now, dialect, stranger)
        self._view.on_check(node, check)
        self._core.on_check(node, check.ok, now)
        if was is None or was.ok != check.ok:
            log.info("node checked", node=node, ok=check.ok, why=why)
            self._tell_soon()
        elif check.ok and was.serves != check.serves:
            self._tell_soon()

    # What the core is told.

    def _tell_soon(self) -> None:
        """At once where that is quick: it takes the square of the fleet for the checks of all."""
        if len(self.inventory.nodes) <= BREATH:
            self.tell_core()
        else:
            self._due.set()

    async def run(self) -> None:
        """Until cancelled; what the checks of a large fleet find in a moment is told together."""
        while True:
            await self._due.wait()
            self._due.clear()
            await self.tell_core_by_and_by()
            await asyncio.sleep(TELL_EVERY)

    async def tell_core_by_and_by(self) -> None:
        """As `tell_core`, with turns for requests in between: a large fleet takes a while."""
        told, now, fleet = self._told, time.monotonic(), self.inventory.nodes
        facts: list[NodeFacts] = []
        for start in range(0, len(fleet), BREATH):
            if start:
                await asyncio.sleep(0)
            facts += self._view.facts_of(fleet[start : start + BREATH], now)
        if self._told == told:  # else newer ones were told meanwhile
            self._tell(facts, now)

    def tell_core(self) -> None:
        """Give the core the fleet as the view has it now."""
        now = time.monotonic()
        self._tell(self._view.facts(now), now)

    def _tell(self, facts: Sequence[NodeFacts], now: float) -> None:
        self._told += 1
        self._core.on_facts(facts, now)
        self._metrics.know_models(self._view.lists.known_names())
        self._metrics.show_identities(self._view.odd())
        if self.dispatcher is not None:
            self.dispatcher.wake()

    async def list_models(self, node: str) -> Sequence[Listed]:
        """What the node serves now. Raises: NotFound where it has gone, UpstreamError."""
        client = self.clients.get(node)
        if client is None:
            raise NotFound(f"there is no node {node} any more")
        return await client.list_models()

    # What a changed nodes.yaml says.

    def files(self) -> frozenset[Path]:
        """Certificates, keys and secrets that it names, in use or refused: when one is renewed, or
        comes at last, the nodes are read anew."""
        return self.inventory.files | self._refused

    async def reload(self) -> None:
        """A bad file changes nothing but `dpl_router_config_last_reload_successful`."""
        try:
            inventory = await asyncio.to_thread(
                load, self._settings.nodes_file, os.environ, self._settings.api_key
            )
            if inventory != self.inventory:
                known = self.inventory.notes
                self._refused = inventory.files  # until it is applied
                self.apply(inventory)
                log.info("nodes file applied", nodes=len(inventory.nodes))
                for note in inventory.notes:
                    if note not in known:
                        log.info("nodes file noted", note=note)
        except (InventoryError, OSError) as error:  # OSError: a TLS file that changed since
            self._metrics.config_reloaded.set(0)
            told, self.mistakes = self.mistakes, self._why(error)
            if isinstance(error, InventoryError):
                self._refused = error.files
            if self.mistakes != told:  # it is read again for each file that it names
                log.error("nodes file refused, the old one is kept", mistakes=str(error))
            return
        self._metrics.config_reloaded.set(1)
        self.mistakes, self._refused = (), frozenset()

    def _why(self, error: InventoryError | OSError) -> tuple[Mistake, ...]:
        if isinstance(error, InventoryError):
            return error.mistakes
        return (Mistake(str(self._settings.nodes_file), None, None, "", str(error)),)

    def apply(self, inventory: Inventory) -> None:
        """Fit what is new or changed, let go of what is not named any more; whole or not at all.

        Raises: OSError where a TLS file is of no use; nothing has changed then.
        """
        ttl = inventory.router.lease_ttl
        wanted = {node.name: node for node in inventory.nodes}
        standing = {fitting.node.name: fitting.node for fitting in self._fitted.values()}
        changed = [node for node in inventory.nodes if standing.get(node.name) != node]
        made = fitted(changed, self._fitted, self._lessee, self._sweeper, ttl)
        following = {fitting.node.name: fitting for fitting in made}
        self.inventory = inventory
        for name, node in standing.items():
            if wanted.get(name) != node:
                self._unfit(name, following.get(name))
        for fitting in made:
            self._fit(fitting)
        for slots in self.slots.values():
            slots.ttl = ttl
        self._view.reload(inventory)
        self._core.on_reload(
            [NodeConfig(node.name, node.slots) for node in inventory.nodes], time.monotonic()
        )
        if self.dispatcher is not None:
            self.dispatcher.timeouts = inventory.router.timeouts
        if self.hosts is not None:
            self.hosts.allow(inventory.router.allowed_hosts)
        self._bar()

    def _fit(self, fitting: Fitting) -> None:
        name = fitting.node.name
        self._fitted[name] = fitting
        self.clients[name] = fitting.client
        if fitting.exporter is not None and fitting.leases is not None:
            self.exporters[name] = fitting.exporter
            self.leases.clients[name] = fitting.leases
        if fitting.slots is not None:
            self.slots[name] = fitting.slots

    def _unfit(self, name: str, following: Fitting | None) -> None:
        """`following` is None where the node goes."""
        leaving = self._fitted.pop(name).without(following)
        for parts in (self.clients, self.slots, self.exporters, self.leases.clients):
            parts.pop(name, None)
        task = asyncio.get_running_loop().create_task(
            self._leave(leaving, stays=following is not None)
        )
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, fitting: Fitting, *, stays: bool) -> None:
        name = fitting.node.name
        while fitting.client.active and not self._closing.is_set():
            await self._look_again()
        await fitting.close()
        log.info("node left" if not stays else "node changed", node=name)
        # the node may be done while its last client still reads: that answer is counted at its end
        while name not in self._fitted and not self._closing.is_set():
            if not self._core.busy(name):
                self._metrics.forget_node(name)
                return
            await self._look_again()

    async def _look_again(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), DRAIN_LOOK)

    async def close(self) -> None:
        """Leases back, connections closed: those of nodes that are leaving as well."""
        self._closing.set()
        await self.locks.close()  # while their exporters' connections are there
        ends = [fitting.close() for fitting in self._fitted.values()]
        for outcome in await asyncio.gather(*ends, *self._leaving, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("a node's parts could not be closed", exc_info=outcome)
