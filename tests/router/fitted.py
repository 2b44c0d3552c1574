"""What a router has for its nodes, without its app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from dpl_router.fittings import Fittings
from dpl_router.inventory.load import load
from dpl_router.metrics import RouterMetrics
from dpl_router.scheduling.core import make_core
from dpl_router.scheduling.types import Config, NodeConfig
from dpl_router.settings import Settings
from dpl_router.telemetry.view import FleetView
from dpl_router.upstreams.transport import Sweeper
from tests.fakes.router import write_nodes


class Fitted:
    """Fittings as app.py makes them, without the app."""

    def __init__(self, folder: Path, nodes: dict[str, Any]) -> None:
        self.file = folder / "nodes.yaml"
        self.write(nodes)
        inventory = load(self.file, {}, None)
        self.registry = CollectorRegistry()
        self.metrics = RouterMetrics(self.registry)
        self.core = make_core(
            Config(tuple(NodeConfig(node.name, node.slots) for node in inventory.nodes))
        )
        self.settings = Settings(self.file, folder)
        self.view = FleetView(inventory, self.metrics.view)
        self.fittings = Fittings(
            self.settings,
            inventory,
            self.view,
            self.core,
            self.metrics,
            Sweeper(),
        )

    def write(self, nodes: dict[str, Any], **router: Any) -> None:
        write_nodes(self.file, nodes, router)

    @property
    def reloaded(self) -> float | None:
        return self.registry.get_sample_value("dpl_router_config_last_reload_successful")

    def shown(self, node: str) -> bool:
        labels = {"node": node}
        return self.registry.get_sample_value("dpl_router_node_cordoned", labels) is not None


@asynccontextmanager
async def fitted(folder: Path, nodes: dict[str, Any]) -> AsyncIterator[Fitted]:
    made = Fitted(folder, nodes)
    try:
        yield made
    finally:
        await asyncio.wait_for(made.fittings.close(), 5)
