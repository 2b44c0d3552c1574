"""The client's connection, as an answer sees it."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from dpl_router.conversation import Piece
from dpl_router.errors import DplError

Gone = asyncio.Future[None]
"""Ends when the client has left."""


class Wire(Protocol):
    """The client's connection, which is written to without a message."""

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        """More of an answer that was begun. What ends when the client has read; None while it
        keeps up."""
        ...

    def answer(self, headers: bytes, body: bytes) -> None:
        """All of a 200; `headers` are whole lines, but for the length. Raises: ClientGone."""
        ...

    def take(self) -> bytes | None:
        """The whole body of the request; None where it must be waited for, or was taken."""
        ...

    def left(self) -> Gone: ...


def joined(pieces: Sequence[Piece]) -> bytes:
    """What the client gets of them."""
    if len(pieces) == 1:
        return pieces[0][1] or b""
    return b"".join([raw for _, raw in pieces if raw])


def written(wire: Wire, last: bytes, error: DplError) -> DplError:
    """`error`, behind what came before it."""
    if last:  # an empty chunk would be a clean end
        wire.write(last)
    return error
