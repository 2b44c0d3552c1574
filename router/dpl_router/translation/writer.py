"""What makes a client's bytes of a node's events, where client and node speak differently."""

from collections.abc import Sequence
from typing import Protocol

from dpl_router.conversation import Event, Piece


class Writer(Protocol):
    """One answer in one client protocol. Told every event, in order, `Done` or `Failed` last.

    Over values of a kind that the node's protocol does not have it may raise any of `ODD`."""

    def write(self, event: Event) -> bytes:
        """What the client gets now. A plain answer is b"" until `Done`, then the whole JSON."""
        ...


class Reader(Protocol):
    """A dialect's decoder before its words are the client's (see `upstreams.base.Decoder`)."""

    def feed(self, data: bytes) -> Sequence[Piece]: ...

    def end(self) -> Sequence[Piece]: ...


class Worded:
    """A decoder whose pieces carry what `writer` makes of them. Errors are those of both."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    def feed(self, data: bytes) -> Sequence[Piece]:
        return self._worded(self._reader.feed(data))

    def end(self) -> Sequence[Piece]:
        return self._worded(self._reader.end())

    def _worded(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        write = self._writer.write
        return [(event, write(event)) for event, _ in pieces]
