"""Who holds which node: asked of the exporters, since only they know other holders than us."""

import asyncio
from collections.abc import Mapping, Sequence

from dpl_router.control import NO_ANSWER
from dpl_router.fleet.schemas import NodeLease
from dpl_router.nodes.lease_client import KeyRefused, LeaseClient


async def leases_of(nodes: Sequence[str], clients: Mapping[str, LeaseClient]) -> list[NodeLease]:
    """A row for each lease, and one with a `problem` for a node that does not tell; none for a
    node that nobody holds. Exporters are asked side by side, for half a second each."""

    async def one(node: str) -> list[NodeLease]:
        client = clients.get(node)
        if client is None:
            return [NodeLease(node, problem="no exporter")]
        try:
            holders = await client.holders()
        except KeyRefused:
            return [NodeLease(node, problem="refused")]
        except NO_ANSWER:
            return [NodeLease(node, problem="unreachable")]
        return [
            NodeLease(node, holder.owner, holder.slots, holder.exclusive, holder.expires_in)
            for holder in holders
        ]

    return [lease for each in await asyncio.gather(*map(one, nodes)) for lease in each]
