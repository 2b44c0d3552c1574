"""What every dialect offers, on one page.

A dialect turns our call into bytes and a node's bytes into events. It knows HTTP; it does not
know scheduling, leases or retries.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from dpl_router.conversation import ChatRequest, Piece
from dpl_router.errors import DplError
from dpl_router.listing import Listed


class Request(Struct):
    """One HTTP request towards a node. `path` starts with / and lies below the node's base.

    Only read once it is made, and so is `Head`.
    """

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Allow-listed by the dialect: content type, accept, trace context. Where it is the same object
    for each call its lines are made once."""
    id: str = ""
    """Sent as X-Request-Id; empty: none is."""


class Head(Struct):
    """The head of a node's answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]


class Decoder(Protocol):
    """A feed object: bytes in any pieces -> events. A test can cut the bytes anywhere.

    Over values of another kind than the protocol's it may raise any of `ODD` (`loose_json`): who
    feeds it tells that as an answer that cannot be read.
    """

    def feed(self, data: bytes) -> Sequence[Piece]:
        """The events that are now complete.

        Raises: for bytes that are no answer, too many of them, or an error told inside one:
        UpstreamRefused while no piece was handed out, UpstreamBroke after that. Behind pieces that
        came with it the error is the last piece, `Failed`.
        """
        ...

    def end(self) -> Sequence[Piece]:
        """The node ended its answer cleanly: what was left.

        Raises: as `feed`, where `Done` was never said; a clean HTTP end is no success.
        """
        ...


class Dialect(Protocol):
    """One protocol that nodes speak."""

    name: str
    looks: Sequence[Request]
    """What is asked to know what the node serves, the cheapest list first: where that is not
    answered the node is down. It is the router's own health check."""

    def request(self, call: ChatRequest, model: str) -> Request:
        """The call in the node's words; `model` is the node's own name of the model.

        Raises: BadRequest, where the call cannot be said in them.
        """
        ...

    def second(self, call: ChatRequest, model: str, head: Head, body: bytes) -> Request | None:
        """The same call by another path, where `body` under a status that is not 200 says that the
        node lacks the first; None where `refusal` tells what it means. Asked once for a call;
        `decoder` reads the answer to either.
        """
        ...

    def decoder(self, call: ChatRequest, model: str, head: Head) -> Decoder:
        """For an answer with status 200. Pieces carry bytes for the client (`call.api`), whatever
        the node speaks, never None: `translation.writer` makes them where the two differ.

        Of a stream: one or more whole SSE events or lines; b"" where another piece of the same
        event carries them. The bytes of `Done` are what comes last: for an OpenAI client the usage
        chunk where it wants one (the surface writes `data: [DONE]`), for an Ollama client the line
        with `"done":true`, for an opaque call whatever the node said last. Of a plain answer:
        `Done` carries the whole JSON, and events before it, where the node tells them, b"".
        """
        ...

    def refusal(self, head: Head, body: bytes) -> DplError:
        """What an error status means: RequestRefused, UpstreamRefused (see reliability 4.5)."""
        ...

    def read_models(self, bodies: Sequence[bytes | None]) -> Sequence[Listed]:
        """Out of the answers to `looks`; None for one after the first that was not answered well.

        Raises: NoModelList.
        """
        ...
