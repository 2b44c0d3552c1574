"""The fleet's endpoints under /api: status, overview, leases, alerts, unlock."""

from typing import Any

from litestar import Controller, Request, get, post
from litestar.di import NamedDependency

from dpl_router.control import Control
from dpl_router.fleet.audited import record
from dpl_router.fleet.operate import Operating
from dpl_router.fleet.schemas import NodeLease, NodeStatus, Overview, Unlocked
from dpl_router.fleet.service import Fleet
from dpl_router.security.audit import AuditLog
from dpl_router.security.guards import operator, viewer
from dpl_router.telemetry.alerts import Alert, active_alerts


class Alertmanager:
    """Where alerts are read; None = none is configured."""

    def __init__(self, control: Control | None) -> None:
        self.control = control


class FleetController(Controller):
    path = "/api"

    @get("/status/all", guards=[viewer])
    async def status(self, fleet: NamedDependency[Fleet]) -> list[NodeStatus]:
        """Every node, from the cached view: at once, also with every node dead."""
        return fleet.status()

    @get("/cluster/overview", guards=[viewer])
    async def overview(self, fleet: NamedDependency[Fleet]) -> Overview:
        """The fleet in a few numbers."""
        return fleet.overview()

    @get("/leases", guards=[viewer])
    async def leases(self, operating: NamedDependency[Operating]) -> list[NodeLease]:
        """Who holds which node; the exporters are asked."""
        return await operating.leases()

    @get("/alerts", guards=[viewer])
    async def alerts(self, alertmanager: NamedDependency[Alertmanager]) -> list[Alert]:
        """What Alertmanager holds active. Raises: Unavailable, when it is down."""
        return await active_alerts(alertmanager.control)

    @post("/unlock/all", guards=[operator], status_code=200)
    async def unlock(
        self,
        request: Request[Any, Any, Any],
        operating: NamedDependency[Operating],
        audit: NamedDependency[AuditLog],
    ) -> list[Unlocked]:
        """Release every lease of every node, whoever holds it; written to the audit log."""
        outcomes = await operating.unlock_all()
        told = ", ".join(f"{each.node}: {each.outcome}" for each in outcomes)
        await record(request, audit, "unlock_all", "every node", told)
        return outcomes
