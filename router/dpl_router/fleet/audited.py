"""What operators do to the fleet is written down, off the loop."""

import asyncio
from typing import Any

from litestar import Request

from dpl_router.security.audit import AuditLog
from dpl_router.security.guards import identity_of


async def record(
    request: Request[Any, Any, Any],
    audit: AuditLog,
    action: str,
    target: str,
    outcome: str,
    why: str = "",
) -> None:
    """Who, from where: as the guard of this call found."""
    client = request.scope.get("client")
    identity, address = identity_of(request.scope), client[0] if client else ""
    await asyncio.to_thread(audit.record, identity, address, action, target, outcome, why)
