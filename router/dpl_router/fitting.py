"""What the router has for one node, and how it is made."""

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from dpl_router.control import Control
from dpl_router.inventory.tls import context_of
from dpl_router.inventory.types import Node, Tls
from dpl_router.metrics import LeaseMetrics
from dpl_router.nodes.lease_client import LeaseClient
from dpl_router.nodes.slots import Listener, NodeSlots
from dpl_router.upstreams.clients import NodeClient
from dpl_router.upstreams.transport import Sweeper


class Lessee(NamedTuple):
    """Who takes leases of the nodes."""

    owner: str
    busy: Callable[[str], int]
    """How many of our requests a node has."""
    listener: Listener
    metrics: LeaseMetrics


@dataclass(frozen=True, slots=True)
class Fitting:
    """All that belongs to one node; made without a trace elsewhere, and closed once."""

    node: Node
    client: NodeClient
    exporter: Control | None = None
    leases: LeaseClient | None = None
    slots: NodeSlots | None = None

    def without(self, next_: "Fitting | None") -> "Fitting":
        """What of it `next_`, made in its place, did not take over."""
        if next_ is None or next_.exporter is not self.exporter:
            return self
        return replace(self, exporter=None, leases=None, slots=None)

    async def close(self) -> None:
        """Abort what runs, give the lease back; each part also where another one fails."""
        self.client.close()
        try:
            if self.slots is not None:
                await self.slots.close()
        finally:
            if self.exporter is not None:
                await self.exporter.close()


def fitted(
    nodes: Iterable[Node],
    standing: Mapping[str, Fitting],
    lessee: Lessee,
    sweeper: Sweeper,
    ttl: float,
) -> list[Fitting]:
    """One for each, or none at all. Where a node's exporter stays, its lease stays as well: a new
    one would be asked for beside it. `ttl`: seconds of a lease.

    Raises: OSError where a TLS file is of no use.
    """
    trust = cache(context_of)  # a fleet may name one file a thousand times
    made: list[Fitting] = []
    try:
        for node in nodes:
            made.append(Fitting(node, NodeClient(node, sweeper, trust)))
            made[-1] = _with_exporter(made[-1], standing.get(node.name), trust, lessee, ttl)
    except OSError:
        for fitting in made:
            fitting.client.close()
        raise
    return made


def _with_exporter(
    fitting: Fitting,
    before: Fitting | None,
    trust: Callable[[Tls], ssl.SSLContext],
    lessee: Lessee,
    ttl: float,
) -> Fitting:
    node = fitting.node
    if node.exporter is None:
        return fitting
    if before is not None and _of_exporter(before.node) == _of_exporter(node):
        return replace(fitting, exporter=before.exporter, leases=before.leases, slots=before.slots)
    exporter = Control(node.exporter, key=node.exporter_key, verify=trust(Tls(node.exporter_ca)))
    leases = LeaseClient(exporter, lessee.owner)
    slots = NodeSlots(
        node.name,
        leases,
        lessee.owner,
        busy=lambda: lessee.busy(node.name),
        listener=lessee.listener,
        metrics=lessee.metrics,
        ttl=ttl,
    )
    return replace(fitting, exporter=exporter, leases=leases, slots=slots)


def _of_exporter(node: Node) -> tuple[object, ...]:
    ca = node.exporter_ca
    return node.exporter, node.exporter_key, ca, ca and node.files.get(ca)
