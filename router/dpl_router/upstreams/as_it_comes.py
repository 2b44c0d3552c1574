"""What the decoders of streams have in common, but for the hot one (`openai_stream`)."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from dpl_router.conversation import Failed, Piece
from dpl_router.errors import DplError, UpstreamBroke, UpstreamRefused
from dpl_router.upstreams.complaint import TOLD

Part = TypeVar("Part")


class PartReader(Protocol[Part]):
    """Bytes in any pieces -> the parts that are now complete: lines, or events."""

    def feed(self, data: bytes) -> list[Part]: ...

    def end(self) -> list[Part]: ...


class AsItComes(ABC, Generic[Part]):
    """Pieces of whole parts, until the last word is known to have come.

    `part` and `closed` may raise any of `TOLD` at any time: where nothing was handed out yet
    UpstreamBroke becomes UpstreamRefused; behind what came with it, each becomes `Failed`.
    """

    def __init__(self, reader: PartReader[Part]) -> None:
        self._reader = reader
        self._handed_out = False
        self._done = False

    @abstractmethod
    def part(self, part: Part, pieces: list[Piece]) -> None:
        """Read one part; what it means is added to `pieces`. Raises: one of `TOLD`."""

    @abstractmethod
    def closed(self, pieces: list[Piece]) -> None:
        """The answer ended cleanly before its last word. Raises: one of `TOLD`."""

    def feed(self, data: bytes) -> list[Piece]:
        pieces: list[Piece] = []
        try:
            self._take(self._reader.feed(data), pieces)
        except TOLD as error:
            if not pieces:
                raise self._fit(error) from None
            self._fail(error, pieces)
        self._handed_out = self._handed_out or bool(pieces)
        return pieces

    def end(self) -> list[Piece]:
        pieces: list[Piece] = []
        try:
            self._take(self._reader.end(), pieces)
            if not self._done:
                self.closed(pieces)
        except TOLD as error:
            if not (pieces and self._handed_out):
                raise self._fit(error) from None
            self._fail(error, pieces)
        return pieces

    def whole(self, parts: Iterable[Part]) -> list[Piece]:
        """The pieces of an answer that is here already. Raises: one of `TOLD`, of all of it."""
        pieces: list[Piece] = []
        try:
            self._take(parts, pieces)
        except TOLD as error:
            raise self._fit(error) from None
        return pieces

    def _take(self, parts: Iterable[Part], pieces: list[Piece]) -> None:
        for part in parts:
            if not self._done:
                self.part(part, pieces)

    def _fail(self, error: DplError, pieces: list[Piece]) -> None:
        pieces.append((Failed(UpstreamBroke(error.message)), b""))
        self._done = True

    def _fit(self, error: DplError) -> DplError:
        broke = isinstance(error, UpstreamBroke)
        if self._handed_out:
            return error if broke else UpstreamBroke(error.message)
        return UpstreamRefused(error.message, 200) if broke else error
