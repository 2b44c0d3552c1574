"""The fleet's models under /api/models: which there are, and having one loaded or let go of."""

from typing import Any

from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from dpl_router.errors import DplError
from dpl_router.fleet.audited import record
from dpl_router.fleet.schemas import ModelStatus, Started, Unloaded
from dpl_router.fleet.service import Fleet
from dpl_router.models import Models
from dpl_router.security.audit import AuditLog
from dpl_router.security.guards import identity_of, operator, viewer


class FleetModelsController(Controller):
    path = "/api/models"

    @get(guards=[viewer])
    async def models(self, fleet: NamedDependency[Fleet]) -> list[ModelStatus]:
        """Every model, merged over nodes."""
        return fleet.models()

    @post("/start/{model:path}", guards=[operator], status_code=200)
    async def start(
        self,
        request: Request[Any, Any, Any],
        model: FromPath[str],
        models: NamedDependency[Models],
        audit: NamedDependency[AuditLog],
        node: FromQuery[str | None] = None,
    ) -> Started:
        """Have it in memory, on `node` or the best one. An unknown model or node is a 404."""
        name = model.removeprefix("/")
        models.permit(identity_of(request.scope), name)
        try:
            warmed = await models.load(name, node=node)
        except DplError as error:
            await record(request, audit, "load", name, error.message)
            raise
        await record(request, audit, "load", name, f"on {warmed.node}")
        return Started(warmed.node, warmed.model, warmed.seconds)

    @post("/unload/{model:path}", guards=[operator], status_code=200)
    async def unload(
        self,
        request: Request[Any, Any, Any],
        model: FromPath[str],
        models: NamedDependency[Models],
        audit: NamedDependency[AuditLog],
        node: FromQuery[str | None] = None,
    ) -> Unloaded:
        """Out of memory, on `node` or wherever it is. 409 where the server cannot do that."""
        name = model.removeprefix("/")
        models.permit(identity_of(request.scope), name)
        try:
            gone = await models.unload(name, node=node)
        except DplError as error:
            await record(request, audit, "unload", name, error.message)
            raise
        await record(request, audit, "unload", name, f"from {', '.join(gone.nodes) or 'no node'}")
        return Unloaded(models.resolve(name), gone.nodes, gone.kept)
