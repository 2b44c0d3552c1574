"""Chunks of an OpenAI stream put right: bytes of a chunk in, bytes of a chunk out.

For what real servers get wrong (tests/recordings/mistakes). What is not named here stays as it
came, in its order. Whether a chunk must change is asked at each event; few must.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from dpl_router.conversation import Piece
from dpl_router.loose_json import FIELD_LISTS, FIELDS, NULL, Fields, raw
from dpl_router.upstreams.openai_chunks import ChoicePart, Chunk, DeltaPart

EMPTY = raw({})
NO_CHOICES = raw([])
ASSISTANT = raw("assistant")
CHUNK_OBJECT = raw("chat.completion.chunk")


@dataclass(slots=True)
class Choice:
    """What we know of one choice of the answer so far."""

    begun: bool = False
    """Its role was told."""
    finish: str | None = None
    held: list[Piece] = field(default_factory=list)
    """The chunk with the finish reason waits for the true end: some servers say "stop" on
    every chunk of the reasoning and go on."""
    held_payload: bytes = b""
    tools: dict[str, int] = field(default_factory=dict)
    last_tool: int = -1

    def place_tools(self, delta: DeltaPart | None) -> list[int]:
        """The index of each tool part; a new id without one is a new call."""
        places = []
        for part in (delta and delta.tool_calls) or ():
            place = part.index
            if place is None and part.id:
                place = self.tools.get(part.id, self.last_tool + 1)
            elif place is None:
                place = max(self.last_tool, 0)
            if part.id:
                self.tools[part.id] = place
            self.last_tool = place
            places.append(place)
        return places

    def odd(self, part: ChoicePart) -> bool:
        """Something inside `part` must change."""
        delta = part.delta
        if delta is None or part.finish_reason == "" or (delta.role is not None) == self.begun:
            return True
        tools = delta.tool_calls or ()
        return any(
            tool.index is None or tool.id == "" or (tool.function and tool.function.name == "")
            for tool in tools
        )


class Names:
    """What every chunk of one stream carries: one id, one `created`, the client's model name."""

    __slots__ = ("_created", "_id", "_model", "_spare")

    def __init__(self, model: str, spare: tuple[str, int]) -> None:
        """`spare`: id and `created` (seconds since the epoch) of a node that tells none."""
        self._model = model
        self._spare = spare
        self._id = ""
        self._created = 0

    def take(self, chunk: Chunk) -> None:
        """The first chunk with a choice tells them; what it says is kept to the end."""
        if not self._id:
            self._id = chunk.id or self._spare[0]
            self._created = int(chunk.created or self._spare[1])

    def foreign(self, chunk: Chunk) -> bool:
        """It carries other ones."""
        return chunk.model != self._model or chunk.id != self._id or chunk.created != self._created

    def renamed(self, payload: bytes) -> bytes:
        """The chunk under these names."""
        return msgspec.json.encode(self._top(payload))

    def mended(self, payload: bytes, choice: Choice, places: list[int]) -> bytes:
        """The chunk of one choice under these names, with the role where `choice` has not begun
        and only there, tools at their `places`, and nothing empty that would overwrite."""
        top = self._top(payload)
        [fields] = FIELD_LISTS.decode(top["choices"])
        if bytes(fields.get("finish_reason", NULL)) == b'""':
            fields["finish_reason"] = NULL
        said = fields.get("delta", NULL)
        delta = FIELDS.decode(EMPTY if bytes(said) == b"null" else said)
        if choice.begun:
            delta.pop("role", None)
        else:
            delta = {"role": ASSISTANT, **delta}
        if places:
            tools = FIELD_LISTS.decode(delta["tool_calls"])
            delta["tool_calls"] = raw([tool_of(*pair) for pair in zip(tools, places, strict=True)])
        fields["delta"] = raw(delta)
        top["choices"] = raw([fields])
        return msgspec.json.encode(top)

    def usage(self, payload: bytes) -> bytes:
        """The chunk under these names, for its usage only."""
        top = self._top(payload)
        top["choices"] = NO_CHOICES
        return msgspec.json.encode(top)

    def finish(self, index: int) -> bytes:
        """The last chunk of a choice whose end the node left out."""
        end = {"index": index, "delta": {}, "finish_reason": "stop"}
        return self.renamed(msgspec.json.encode({"choices": [end]}))

    def _top(self, payload: bytes) -> Fields:
        top = FIELDS.decode(payload)
        top["id"], top["created"] = raw(self._id), raw(self._created)
        top["object"], top["model"] = CHUNK_OBJECT, raw(self._model)
        return top


def apart(payload: bytes) -> Iterator[bytes]:
    """A chunk for each choice of one that has several."""
    top = FIELDS.decode(payload)
    for fields in FIELD_LISTS.decode(top["choices"]):
        top["choices"] = raw([fields])
        yield msgspec.json.encode(top)


def unfinished(payload: bytes) -> bytes:
    """The chunk of one choice without its finish reason."""
    top = FIELDS.decode(payload)
    [fields] = FIELD_LISTS.decode(top["choices"])
    fields["finish_reason"] = NULL
    top["choices"] = raw([fields])
    return msgspec.json.encode(top)


def tool_of(fields: Fields, place: int) -> Fields:
    """A tool part with its index, and without an empty id or name that would overwrite."""
    if bytes(fields.get("id", NULL)) == b'""':
        del fields["id"]
    said = fields.get("function", NULL)
    if bytes(said) != b"null":
        function = FIELDS.decode(said)
        if bytes(function.get("name", NULL)) == b'""':
            del function["name"]
        fields["function"] = raw(function)
    return {**fields, "index": raw(place)}
