"""/v1/embeddings: whole, in the order of the inputs, and as events."""

import base64
import struct
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from dpl_router.conversation import Done, Piece, Vectors
from dpl_router.errors import UpstreamRefused
from dpl_router.loose_json import FIELDS, MALFORMED, is_error, raw
from dpl_router.upstreams.complaint import told_inside
from dpl_router.upstreams.openai_chunks import (
    UsagePart,
)
from dpl_router.upstreams.whole import AtTheEnd, Collected, told


class _Item(Struct):
    embedding: Raw
    index: int | None = None


class _Answer(Struct):
    data: list[_Item] | None = None
    model: str | None = None
    usage: UsagePart | None = None
    error: Raw | UnsetType = UNSET

    def places(self) -> list[int]:
        """The index of each item; where one is missing, the place that it has."""
        return [at if one.index is None else one.index for at, one in enumerate(self.data or ())]

    def done(self) -> Done:
        return Done(None, self.usage.told() if self.usage else None)


class _Items(Struct):
    data: list[Raw]


_ANSWER = msgspec.json.Decoder(_Answer)
_ITEMS = msgspec.json.Decoder(_Items)
_VECTOR = msgspec.json.Decoder(list[float] | str)


def embedded(body: Collected) -> tuple[_Answer, bytes]:
    """Raises: UpstreamRefused."""
    answer, data = body.read(_ANSWER.decode, "embeddings")
    if is_error(answer.error) or not answer.data:
        raise told_inside(told("no embeddings", data), data)
    return answer, data


class EmbeddingWhole(AtTheEnd):
    """One piece at the end: Done, with the whole JSON as its bytes: floats or base64, as told."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model

    def end(self) -> Sequence[Piece]:
        answer, body = embedded(self._body)
        places = answer.places()
        if answer.model != self._model or places != sorted(places):
            items = zip(places, _ITEMS.decode(body).data, strict=True)
            ordered = [item for _, item in sorted(items, key=lambda pair: pair[0])]
            fields = {**FIELDS.decode(body), "data": raw(ordered), "model": raw(self._model)}
            body = msgspec.json.encode(fields)
        return [(answer.done(), body)]


class EmbeddingEvents(AtTheEnd):
    """The vectors at the end, without bytes."""

    def end(self) -> Sequence[Piece]:
        answer, body = embedded(self._body)
        items = sorted(
            zip(answer.places(), answer.data or (), strict=True), key=lambda pair: pair[0]
        )
        try:
            vectors = [_floats(one.embedding) for _, one in items]
        except (*MALFORMED, ValueError, struct.error):
            raise UpstreamRefused(told("no embeddings", body), 200) from None
        return [(Vectors(vectors), None), (answer.done(), None)]


def _floats(said: Raw) -> Sequence[float]:
    """Base64 of little-endian 32-bit floats is read too: some servers tell nothing else."""
    vector: list[float] | str = _VECTOR.decode(said)
    if isinstance(vector, str):
        data = base64.b64decode(vector, validate=True)
        return struct.unpack(f"<{len(data) // 4}f", data)
    return vector
