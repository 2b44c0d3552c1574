"""What the decoders of event streams have in common, but for the hot one (`openai_stream`)."""

from abc import abstractmethod

from dpl_router.conversation import Piece
from dpl_router.upstreams.as_it_comes import AsItComes
from dpl_router.upstreams.sse import SseEvent, SseReader

NOTHING = b"null"
"""llama.cpp's first event where several prompts were asked at once."""


class SseAnswer(AsItComes[SseEvent]):
    """Without what a proxy wrapped as data, and events that say nothing."""

    def __init__(self) -> None:
        super().__init__(SseReader())

    @abstractmethod
    def event(self, name: bytes, payload: bytes, pieces: list[Piece]) -> None:
        """Read one event; what it means is added to `pieces`. Raises: UpstreamError."""

    def part(self, part: SseEvent, pieces: list[Piece]) -> None:
        name, payload = part
        if not payload.startswith(b":") and payload != NOTHING:
            self.event(name, payload, pieces)
