"""GET /schema/openapi.json: the API for programs. The page /schema shows the same to people."""

import msgspec
from litestar import Controller, Response, get

from dpl_router import __version__
from dpl_router.diagnostics.openapi import document
from dpl_router.diagnostics.operations import OPERATIONS
from dpl_router.security.guards import viewer


class SchemaController(Controller):
    path = "/schema"
    guards = [viewer]  # noqa: RUF012 - the framework's own way to say it

    @get("/openapi.json")
    async def openapi(self) -> Response[bytes]:
        """OpenAPI 3.1."""
        body = msgspec.json.encode(document(OPERATIONS, __version__))
        return Response(body, media_type="application/json")
