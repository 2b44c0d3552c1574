"""GET /events: what changed on a page, as server-sent events, while the page is open."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qs

import msgspec
from litestar import asgi
from litestar.types import HTTPScope, Receive, Send

from dpl_router.dispatch.wire import Gone
from dpl_router.errors import ClientGone, MethodNotAllowed, Overloaded, Unavailable
from dpl_router.pages.board import Board, Page, page_of
from dpl_router.security.guards import still_admitted, viewer
from dpl_router.security.keys import Role
from dpl_router.surfaces.relay import EventStream, Streams, wire_of

MOST_VIEWERS = 64
LOOK_SECONDS = 0.5
BEAT_SECONDS = 5.0
LONGEST_SECONDS = 900.0
"""Then the browser comes again and shows its key anew."""


class Live:
    """Counts who looks, and ends their streams when the router drains."""

    def __init__(self, board: Board, draining: Callable[[], bool]) -> None:
        self._board = board
        self._draining = draining
        self.viewers = 0

    def admit(self) -> None:
        """Raises: Unavailable in a drain, Overloaded where too many look already."""
        if self._draining():
            raise Unavailable("the router is shutting down", retry_after=5)
        if self.viewers >= MOST_VIEWERS:
            raise Overloaded(
                f"{MOST_VIEWERS} pages are open already; this one does not update", retry_after=30
            )

    async def show(
        self, page: Page, stream: EventStream, gone: Gone, welcome: Callable[[], bool]
    ) -> None:
        """Until the client leaves or is not `welcome` any more, the router drains, or a quarter of
        an hour is over. Raises: ClientGone."""
        self.viewers += 1
        try:
            await stream.start([])
            await self._follow(page, stream, gone, welcome)
            if not gone.done():
                await stream.end()
        finally:
            self.viewers -= 1

    async def _follow(
        self, page: Page, stream: EventStream, gone: Gone, welcome: Callable[[], bool]
    ) -> None:
        seen, began = 0, time.monotonic()
        told = began
        while not gone.done() and not self._draining() and welcome():
            now = time.monotonic()
            if now - began > LONGEST_SECONDS:
                return
            pieces = await self._board.since(page, seen)
            seen = self._board.version
            if pieces or now - told >= BEAT_SECONDS:
                told = now
                await stream.write(_event(pieces))
            await asyncio.wait({gone}, timeout=LOOK_SECONDS)


@asgi("/events", guards=[viewer], copy_scope=False)
async def events(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """One stream a page (`?page=overview|chat|schema`); the first event holds every piece."""
    if scope["method"] != "GET":
        raise MethodNotAllowed(f"{scope['method']} is not served here; send a GET", ["GET"])
    state = scope["app"].state
    live: Live = state.live
    streams: Streams = state.streams
    live.admit()
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("page", [""])[0]
    stream = EventStream(send, scope["state"]["request_id"], streams)
    gone = wire_of(scope).left()
    try:
        await live.show(
            page_of(asked), stream, gone, partial(still_admitted, scope, state, Role.VIEWER)
        )
    except ClientGone:
        return
    finally:
        gone.cancel()
        stream.close()


def _event(pieces: dict[str, str]) -> bytes:
    """`now` lets the page count ages by our clock; without pieces it is the sign of life."""
    return b"data: " + msgspec.json.encode({"now": time.time(), "pieces": pieces}) + b"\n\n"
