"""What the decoders of event streams have in common, but for the hot one (`openai_stream`)."""

from abc import ABC, abstractmethod

from dpl_router.conversation import Piece
from dpl_router.errors import UpstreamBroke, UpstreamError, UpstreamRefused
from dpl_router.upstreams.sse import SseEvent, SseReader

NOTHING = b"null"
"""llama.cpp's first event where several prompts were asked at once."""


class SseAnswer(ABC):
    """Pieces of whole events, until the last word is known to have come.

    What came before an error is handed out first; the error comes with the next call.
    Raises: UpstreamRefused where nothing was handed out yet, UpstreamBroke after that.
    """

    def __init__(self) -> None:
        self._reader = SseReader()
        self._handed_out = False
        self._done = False
        self._failed: UpstreamError | None = None

    @abstractmethod
    def event(self, name: bytes, payload: bytes, pieces: list[Piece]) -> None:
        """Read one event; what it means is added to `pieces`. Raises: UpstreamError."""

    @abstractmethod
    def closed(self, pieces: list[Piece]) -> None:
        """The answer ended cleanly before its last word. Raises: UpstreamError."""

    def feed(self, data: bytes) -> list[Piece]:
        if self._failed is not None:
            raise self._failed
        pieces: list[Piece] = []
        try:
            self._take(self._reader.feed(data), pieces)
        except UpstreamError as error:
            if not pieces:
                raise self._fit(error) from None
            self._failed = UpstreamBroke(error.message)
        self._handed_out = self._handed_out or bool(pieces)
        return pieces

    def end(self) -> list[Piece]:
        if self._failed is not None:
            raise self._failed
        pieces: list[Piece] = []
        try:
            self._take(self._reader.end(), pieces)
            if not self._done:
                self.closed(pieces)
        except UpstreamError as error:
            raise self._fit(error) from None
        return pieces

    def _take(self, events: list[SseEvent], pieces: list[Piece]) -> None:
        for name, payload in events:
            if not self._done and not payload.startswith(b":") and payload != NOTHING:
                self.event(name, payload, pieces)

    def _fit(self, error: UpstreamError) -> UpstreamError:
        broke = isinstance(error, UpstreamBroke)
        if self._handed_out:
            return error if broke else UpstreamBroke(error.message)
        return UpstreamRefused(error.message, 200) if broke else error
