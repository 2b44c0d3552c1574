"""What the router has for each node of nodes.yaml, and how a changed file changes it."""

import asyncio
import os
import secrets
import socket
import ssl
import time
from collections.abc import Sequence

import structlog

from dpl_router.control import Control
from dpl_router.dispatch import Dispatcher
from dpl_router.fleet.controller import Leases
from dpl_router.inventory.load import load
from dpl_router.inventory.mistakes import InventoryError
from dpl_router.inventory.types import Inventory, Node
from dpl_router.metrics import RouterMetrics
from dpl_router.nodes.lease_client import LeaseClient
from dpl_router.nodes.slots import NodeSlots
from dpl_router.scheduling.core import SchedulerCore
from dpl_router.scheduling.types import NodeConfig
from dpl_router.settings import Settings
from dpl_router.telemetry.view import Check, FleetView
from dpl_router.upstreams.clients import NodeClient
from dpl_router.upstreams.transport import Sweeper

DRAIN_LOOK = 0.5

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
        self._fitted: dict[str, Node] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        # A new owner for each life: a restarted router is never taken for its former self.
        self._owner = f"dpl-router:{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.inventory = inventory
        self.clients: dict[str, NodeClient] = {}
        self.exporters: dict[str, Control] = {}
        self.leases = Leases({})
        self.slots: dict[str, NodeSlots] = {}
        self.dispatcher: Dispatcher | None = None
        self.apply(inventory)

    # What lease answers say of others (nodes.slots.Listener).

    def on_others(self, node: str, slots: int) -> None:
        self._core.on_lease(node, slots, time.monotonic())

    def on_exclusive(self, node: str, seconds: float) -> None:
        now = time.monotonic()
        self._core.on_exclusive(node, now + seconds, now)
        if self.dispatcher is not None:
            self.dispatcher.stop_unanswered(node)

    # What the own checks say.

    def on_check(self, node: str, models: Sequence[str] | None, problem: str | None) -> None:
        if node not in self.clients:
            return
        was = self._view.check(node)
        self._view.on_check(node, Check(models is not None, tuple(models or ()), problem))
        self._core.on_check(node, models is not None, time.monotonic())
        if was is None or was.ok != (models is not None):
            log.info("node checked", node=node, ok=models is not None, why=problem)
            self.tell_core()

    def tell_core(self) -> None:
        """Give the core the fleet as the view has it now."""
        now = time.monotonic()
        self._core.on_facts(self._view.facts(now), now)
        self._metrics.know_models(self._view.model_names())
        if self.dispatcher is not None:
            self.dispatcher.wake()

    # What a changed nodes.yaml says.

    async def reload(self) -> None:
        """A bad file changes nothing but `dpl_router_config_last_reload_successful`."""
        try:
            inventory = await asyncio.to_thread(
                load, self._settings.nodes_file, os.environ, self._settings.api_key
            )
        except InventoryError as error:
            self._metrics.config_reloaded.set(0)
            log.error("nodes file refused, the old one is kept", mistakes=str(error))
            return
        self._metrics.config_reloaded.set(1)
        self.apply(inventory)
        log.info("nodes file applied", nodes=len(inventory.nodes))

    def apply(self, inventory: Inventory) -> None:
        """Fit what is new or changed, let go of what is not named any more."""
        self.inventory = inventory
        wanted = {node.name: node for node in inventory.nodes}
        for name, node in list(self._fitted.items()):
            if wanted.get(name) != node:
                self._unfit(name, stays=name in wanted)
        for name, node in wanted.items():
            if name not in self._fitted:
                self._fit(node, inventory.router.lease_ttl)
        self._view.reload(inventory)
        self._core.on_reload(
            [NodeConfig(node.name, node.slots) for node in inventory.nodes], time.monotonic()
        )
        if self.dispatcher is not None:
            self.dispatcher.timeouts = inventory.router.timeouts
        self.tell_core()

    def _fit(self, node: Node, ttl: float) -> None:
        self._fitted[node.name] = node
        self.clients[node.name] = NodeClient(node, self._sweeper)
        metrics = self._metrics.node(node.name)
        metrics.cordoned.set(node.cordoned)
        if node.exporter is None:
            return
        verify = (
            ssl.create_default_context(cafile=str(node.exporter_ca)) if node.exporter_ca else True
        )
        control = Control(node.exporter, key=node.exporter_key, verify=verify)
        client = LeaseClient(control, self._owner)
        self.exporters[node.name] = control
        self.leases.clients[node.name] = client
        self.slots[node.name] = NodeSlots(
            node.name,
            client,
            self._owner,
            busy=lambda: self._core.busy(node.name),
            listener=self,
            metrics=self._metrics.leases,
            ttl=ttl,
        )

    def _unfit(self, name: str, *, stays: bool) -> None:
        del self._fitted[name]
        client = self.clients.pop(name)
        slots = self.slots.pop(name, None)
        exporter = self.exporters.pop(name, None)
        self.leases.clients.pop(name, None)
        leaving = asyncio.get_running_loop().create_task(
            self._leave(name, client, slots, exporter, stays=stays)
        )
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _leave(
        self,
        name: str,
        client: NodeClient,
        slots: NodeSlots | None,
        exporter: Control | None,
        *,
        stays: bool,
    ) -> None:
        while client.active:  # noqa: ASYNC110 - minutes at most, once in a reload
            await asyncio.sleep(DRAIN_LOOK)
        client.close()
        if slots is not None:
            await slots.close()
        if exporter is not None:
            await exporter.close()
        if not stays and name not in self._fitted:
            self._metrics.forget_node(name)
        log.info("node left" if not stays else "node changed", node=name)

    async def close(self) -> None:
        """Leases back, connections closed."""
        await asyncio.gather(*(slots.close() for slots in self.slots.values()))
        for leaving in self._leaving:
            leaving.cancel()
        for client in self.clients.values():
            client.close()
        await asyncio.gather(*(control.close() for control in self.exporters.values()))
