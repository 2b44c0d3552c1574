"""The pages over HTTP, and the files that they load."""

from datetime import UTC, datetime
from typing import Any

from litestar import Controller, MediaType, Request, Response, get, head
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK, HTTP_404_NOT_FOUND

from dpl_router.dispatch.recent import MOST, Recent
from dpl_router.pages.assets import Assets
from dpl_router.pages.board import Board, Page
from dpl_router.security.guards import viewer

OPEN = {"open": True}
FRESH = {"cache-control": "private, no-cache", "vary": "accept"}
ALIVE = "Ollama is running"


def wants_page(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    return "text/html" in connection.headers.get("accept", "")


async def viewer_of_the_page(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Only the page needs a role; the plain sign of life that programs probe does not."""
    if wants_page(connection):
        await viewer(connection, handler)


class PagesController(Controller):
    path = "/"

    @get("/", guards=[viewer_of_the_page], opt=OPEN)
    async def overview(
        self, request: Request[Any, Any, Any], board: NamedDependency[Board]
    ) -> Response[str]:
        """The fleet now; for what is no browser the line that Ollama's clients probe for."""
        if not wants_page(request):
            return Response(ALIVE, media_type=MediaType.TEXT, headers=FRESH)
        return await _page(board, "overview")

    @head("/", opt=OPEN)
    async def alive(self) -> None:
        """What clients probe before they start."""

    @get("/chat", guards=[viewer])
    async def chat(self, board: NamedDependency[Board]) -> Response[str]:
        return await _page(board, "chat")

    @get("/schema", guards=[viewer])
    async def schema(self, board: NamedDependency[Board]) -> Response[str]:
        """The API in a list; for programs there is /schema/openapi.json."""
        return await _page(board, "schema")

    @get("/requests/{request_id:str}", guards=[viewer])
    async def request(
        self,
        request_id: FromPath[str],
        board: NamedDependency[Board],
        recent: NamedDependency[Recent],
    ) -> Response[str]:
        """What Grafana's dots lead to; 404 for a request of which nothing is kept."""
        told = recent.get(request_id)
        began = f"{datetime.fromtimestamp(told.began, UTC):%Y-%m-%d %H:%M:%S} UTC" if told else ""
        page = await board.page("request", id=request_id, told=told, began=began, most=MOST)
        status = HTTP_404_NOT_FOUND if told is None else HTTP_200_OK
        return Response(page, status_code=status, media_type=MediaType.HTML, headers=FRESH)

    @get("/static/{name:str}", opt=OPEN)
    async def static(
        self, request: Request[Any, Any, Any], name: FromPath[str], assets: NamedDependency[Assets]
    ) -> Response[bytes]:
        """Raises: NotFound."""
        asset = assets.get(name)
        headers = {"etag": asset.etag, "cache-control": "no-cache"}
        if asset.is_in(request.headers.get("if-none-match", "")):
            return Response(b"", status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.content_type, headers=headers)


async def _page(board: Board, page: Page) -> Response[str]:
    return Response(await board.page(page), media_type=MediaType.HTML, headers=FRESH)
