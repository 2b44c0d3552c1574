"""A body of a node that is read when it is whole, in whatever protocol."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from dpl_router.conversation import Piece
from dpl_router.errors import UpstreamRefused
from dpl_router.loose_json import FIELDS, MALFORMED, raw, readable
from dpl_router.upstreams.complaint import complaint
from dpl_router.upstreams.lines import valid

PLAIN_LIMIT = 32 * 1024 * 1024

Read = TypeVar("Read")


class Collected:
    """A body of at most 32 MiB; nothing is handed out before its end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > PLAIN_LIMIT:
            raise UpstreamRefused("the node's answer is over 32 MiB", 200)
        self._parts.append(data)

    def taken(self) -> bytes:
        """As it came."""
        body = b"".join(self._parts)
        self._parts.clear()
        return body

    def read(self, decode: Callable[[bytes], Read], what: str) -> tuple[Read, bytes]:
        """The body as `decode` reads it, and its bytes, valid UTF-8.

        Raises: UpstreamRefused, naming `what` it is not.
        """
        body = valid(self.taken())
        try:
            return readable(decode, body)
        except MALFORMED:
            raise UpstreamRefused(told(f"no {what}", body), 200) from None


class AtTheEnd:
    """A decoder that hands out nothing before the end of its answer: its `end` reads `_body`."""

    def __init__(self) -> None:
        self._body = Collected()

    def feed(self, data: bytes) -> Sequence[Piece]:
        self._body.add(data)
        return ()


def echoed(body: bytes, said: str | None, model: str) -> bytes:
    """`body` with the name that the client used; as it is where it `said` that one."""
    if said == model:
        return body
    return msgspec.json.encode({**FIELDS.decode(body), "model": raw(model)})


def told(what: str, body: bytes) -> str:
    """What is wrong with an answer that said 200, with the node's own words for it."""
    said = complaint(body)
    return f"the node answered 200 with {what}" + (f": {said}" if said else "")


class NoStream:
    """What is no answer of the protocol that was asked for: a login page, another protocol."""

    def __init__(self, media: str) -> None:
        self._media = media

    def feed(self, data: bytes) -> Sequence[Piece]:
        return self.end()

    def end(self) -> Sequence[Piece]:
        raise UpstreamRefused(f"the node answered 200 with {self._media}, not a chat stream", 200)
