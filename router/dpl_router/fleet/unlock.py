"""Releasing every lease of every node: for the moment when nobody knows who holds what."""

import asyncio
from collections.abc import Mapping, Sequence

from dpl_router.control import NO_ANSWER
from dpl_router.fleet.schemas import Unlocked
from dpl_router.nodes.lease_client import LeaseClient


async def unlock_all(nodes: Sequence[str], clients: Mapping[str, LeaseClient]) -> list[Unlocked]:
    """Ask all exporters side by side; each answers in half a second or counts as unreachable."""

    async def one(node: str) -> Unlocked:
        client = clients.get(node)
        if client is None:
            return Unlocked(node, "no exporter")
        try:
            return Unlocked(node, await client.force_unlock())
        except NO_ANSWER:
            return Unlocked(node, "unreachable")

    return list(await asyncio.gather(*(one(node) for node in nodes)))
