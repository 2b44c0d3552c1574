"""Who holds which node: asked of the exporters, since only they know other holders than us."""

import asyncio
from collections.abc import Mapping, Sequence

from dpl_router.control import NO_ANSWER
from dpl_router.fleet.schemas import NodeLease
from dpl_router.nodes.lease_client import Holder, KeyRefused, LeaseClient

MOST_HOLDERS = 100
"""Of one node; an exporter tells what it likes."""
LONGEST_OWNER = 200
"""Characters; no exporter of ours grants a longer one."""
LONGEST_LEASE = 366 * 86400.0


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
        return [_row(node, holder) for holder in holders[:MOST_HOLDERS]]

    return [lease for each in await asyncio.gather(*map(one, nodes)) for lease in each]


def _row(node: str, holder: Holder) -> NodeLease:
    owner = " ".join(holder.owner[:LONGEST_OWNER].split())
    expires_in = min(max(holder.expires_in, 0.0), LONGEST_LEASE)
    return NodeLease(node, owner, holder.slots, holder.exclusive, expires_in)
