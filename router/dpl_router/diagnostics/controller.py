"""Health, metrics, service discovery and the bounded PromQL door over HTTP."""

from typing import Any

from litestar import Controller, MediaType, Request, Response, get, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath

from dpl_router.control import Answer
from dpl_router.diagnostics.metrics_page import MetricsPage
from dpl_router.diagnostics.promql import PromqlDoor
from dpl_router.dispatch.dispatcher import Dispatcher
from dpl_router.inventory.discovery import targets
from dpl_router.security.guards import viewer
from dpl_router.telemetry.view import FleetView

OPEN = {"open": True}
READ = (HttpMethod.GET, HttpMethod.HEAD)
"""`wget --spider` and many a load balancer ask for the head alone."""


class ProbesController(Controller):
    """Open to everybody; the usual names of both worlds."""

    path = "/"
    opt = OPEN

    @route(["/-/healthy", "/healthz"], http_method=READ, media_type=MediaType.TEXT)
    async def healthy(self) -> str:
        """The process runs and answers."""
        return "ok\n"

    @route(["/-/ready", "/readyz"], http_method=READ)
    async def ready(
        self, view: NamedDependency[FleetView], dispatcher: NamedDependency[Dispatcher]
    ) -> Response[str]:
        """200 once each node was asked once, whatever it answered; 503 before, and in a drain."""
        if dispatcher.draining:
            return _text("draining\n", 503)
        if not view.asked_all():
            return _text("starting: not every node was asked yet\n", 503)
        return _text("ready\n", 200)


class DiagnosticsController(Controller):
    path = "/"
    guards = [viewer]  # noqa: RUF012 - the framework's own way to say it

    @route("/metrics", http_method=READ)
    async def metrics(
        self, request: Request[Any, Any, Any], page: NamedDependency[MetricsPage]
    ) -> Response[bytes]:
        """Prometheus text, or OpenMetrics by Accept."""
        content_type, body = await page.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    @get("/sd/prometheus/{job:str}")
    async def discover(
        self, job: FromPath[str], view: NamedDependency[FleetView]
    ) -> list[dict[str, Any]]:
        """The nodes as http_sd wants them, the whole list each time. Raises: NotFound."""
        return targets(view.inventory, job, view.seen())

    @get("/api/prometheus/query")
    async def query(
        self, request: Request[Any, Any, Any], promql: NamedDependency[PromqlDoor]
    ) -> Response[bytes]:
        """An instant query: Prometheus's own body and errors."""
        return _passed(await promql.query(list(request.query_params.multi_items())))

    @get("/api/prometheus/query_range")
    async def query_range(
        self, request: Request[Any, Any, Any], promql: NamedDependency[PromqlDoor]
    ) -> Response[bytes]:
        """A range query: Prometheus's own body and errors."""
        return _passed(await promql.query_range(list(request.query_params.multi_items())))


def _text(text: str, status: int) -> Response[str]:
    return Response(text, status_code=status, media_type=MediaType.TEXT)


def _passed(answer: Answer) -> Response[bytes]:
    return Response(answer.body, status_code=answer.status, media_type="application/json")
