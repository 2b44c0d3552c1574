"""Ollama's answers, decoded. `done: true` alone is an end: a killed runner ends cleanly without.

Source: recordings facts 18, 19, 37 to 41.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET

from dpl_router.conversation import Done, Piece, Timings, ToolCall, Vectors
from dpl_router.errors import UpstreamBroke, UpstreamRefused
from dpl_router.loose_json import MALFORMED, is_error, raw, readable
from dpl_router.upstreams import counts
from dpl_router.upstreams.as_it_comes import AsItComes
from dpl_router.upstreams.complaint import complaint
from dpl_router.upstreams.ndjson import NdjsonReader
from dpl_router.upstreams.ollama_records import (
    EMBEDDED,
    NANOSECONDS,
    RECORD,
    Embedded,
    Record,
    events_of,
)
from dpl_router.upstreams.whole import (
    AtTheEnd,
    Collected,
    echoed,
    told,
)

Word = Callable[[Record, bytes], bytes]
"""What the client gets of a record, without the line's end; b"" where a writer makes it."""
Cut = Callable[[int], bool]
VECTOR = msgspec.json.Decoder(list[float])


class RecordStream(AsItComes[bytes]):
    """Pieces whose bytes are whole lines for an Ollama client; none where `word` gives none."""

    def __init__(self, word: Word, cut: Cut) -> None:
        super().__init__(NdjsonReader())
        self._word = word
        self._cut = cut
        self._tools = 0

    def part(self, part: bytes, pieces: list[Piece]) -> None:
        try:
            record, line = readable(RECORD.decode, part)
        except MALFORMED:
            raise UpstreamBroke("a line of the node's stream is no record of Ollama's") from None
        if is_error(record.error):
            raise UpstreamBroke(complaint(line) or "the node told an error")
        if not record.speaks():
            raise UpstreamBroke(complaint(line) or "a line of the node's stream says nothing")
        word = self._word(record, line)
        new = pieces_of(record, word and word + b"\n", self._tools, self._cut)
        self._tools += sum(type(event) is ToolCall for event, _ in new)
        pieces += new
        self._done = record.done

    def closed(self, pieces: list[Piece]) -> None:
        raise UpstreamBroke("the answer ended without done:true")


class RecordWhole(AtTheEnd):
    """A plain answer: its events at the end, with the whole JSON beside `Done`."""

    def __init__(self, word: Word, cut: Cut) -> None:
        super().__init__()
        self._word = word
        self._cut = cut

    def end(self) -> Sequence[Piece]:
        record, body = self._body.read(RECORD.decode, "answer of Ollama's")
        if is_error(record.error) or not record.speaks():
            raise UpstreamRefused(told("an error", body), 200)
        if not record.done:
            raise UpstreamRefused("the node answered 200 without done:true", 200)
        return pieces_of(record, self._word(record, body), 0, self._cut)


class EmbedWhole(AtTheEnd):
    """Embeddings for an Ollama client: the bytes as they came, but for the model's name."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model

    def end(self) -> Sequence[Piece]:
        answer, body = embedded(self._body)
        model = self._model if answer.model is None else answer.model
        return [(done_of(answer), echoed(body, model, self._model))]


class VectorsWhole(AtTheEnd):
    """Embeddings as events, without bytes."""

    def end(self) -> Sequence[Piece]:
        answer, body = embedded(self._body)
        one = raw([]) if answer.embedding is UNSET else answer.embedding
        said = answer.embeddings if answer.embeddings is not None else [one]
        try:
            vectors = [VECTOR.decode(each) for each in said]
        except MALFORMED:
            raise UpstreamRefused(told("no embeddings", body), 200) from None
        return [(Vectors(vectors), None), (done_of(answer), None)]


def embedded(body: Collected) -> tuple[Embedded, bytes]:
    """Raises: UpstreamRefused."""
    answer, data = body.read(EMBEDDED.decode, "embeddings")
    if is_error(answer.error) or (answer.embeddings is None and answer.embedding is UNSET):
        raise UpstreamRefused(told("no embeddings", data), 200)
    return answer, data


def done_of(answer: Embedded) -> Done:
    timings = Timings(load_seconds=counts.seconds(answer.load_duration, NANOSECONDS))
    return Done(None, counts.usage(answer.prompt_eval_count, None), timings)


def pieces_of(record: Record, word: bytes, tools: int, cut: Cut) -> list[Piece]:
    """The events of a record, its bytes beside the last."""
    *before, last = events_of(record, tools, cut)
    return [*((event, b"") for event in before), (last, word)]
