"""GET /api/debug/…: what an operator sends with a bug report, and what is wrong now."""

from litestar import Controller, get
from litestar.di import NamedDependency

from dpl_router.diagnostics.checks import Doctor
from dpl_router.diagnostics.findings import Diagnosis
from dpl_router.diagnostics.info import About, Info
from dpl_router.security.guards import operator


class DebugController(Controller):
    path = "/api/debug"
    guards = [operator]  # noqa: RUF012 - the framework's own way to say it

    @get("/info")
    async def info(self, about: NamedDependency[About]) -> Info:
        """Versions, modes and counts; no secrets."""
        return about.info()

    @get("/diagnosis")
    async def diagnosis(self, doctor: NamedDependency[Doctor]) -> Diagnosis:
        """Each finding with its evidence and remedy; a node with none is told as ok."""
        return doctor.diagnosis()
