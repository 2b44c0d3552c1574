"""Pieces of an answer taken as an attempt takes them."""

from collections.abc import Iterable, Iterator

from dpl_router.conversation import Failed, Piece


def taken(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """All of them. Raises: what the node told behind them."""
    for event, raw in pieces:
        if isinstance(event, Failed):
            raise event.error
        yield event, raw
