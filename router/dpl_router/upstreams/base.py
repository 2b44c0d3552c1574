"""What every dialect offers, on one page.

A dialect turns our call into bytes and a node's bytes into events. It knows HTTP; it does not
know scheduling, leases or retries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dpl_router.conversation import ChatRequest, Piece
from dpl_router.errors import DplError
from dpl_router.listing import Listed


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request towards a node. `path` starts with / and lies below the node's base."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Allow-listed by the dialect: content type, accept, request id, trace context."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a node's answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]


class Decoder(Protocol):
    """A feed object: bytes in any pieces -> events. A test can cut the bytes anywhere."""

    def feed(self, data: bytes) -> Sequence[Piece]:
        """The events that are now complete.

        Raises: for bytes that are no answer, too many of them, or an error told inside one:
        UpstreamRefused while no piece was handed out, UpstreamBroke after that.
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

    def decoder(self, call: ChatRequest, model: str, head: Head) -> Decoder:
        """For an answer with status 200. Pieces carry bytes for the client (`call.api`), whatever
        the node speaks, never None: `translation.worded` makes them where the two differ.

        Of a stream: one or more whole SSE events or lines; b"" where an earlier piece of the same
        event carried them. The bytes of `Done` are what comes last: for an OpenAI client the usage
        chunk where it wants one, else b"" (the surface writes `data: [DONE]`); for an Ollama client
        the line with `"done":true`. Of a plain answer: `Done` carries the whole JSON, and events
        before it, where the node tells them, b"".
        """
        ...

    def refusal(self, head: Head, body: bytes) -> DplError:
        """What an error status means: RequestRefused, UpstreamRefused (see reliability 4.5)."""
        ...

    def read_models(self, bodies: Sequence[bytes | None]) -> Sequence[Listed]:
        """Out of the answers to `looks`; None for one after the first that was not answered well.

        Raises: UpstreamBroke.
        """
        ...
