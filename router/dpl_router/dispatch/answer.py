"""A client's call on its way, and the answer to it from its first words on."""

import time
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from dpl_router.conversation import ChatRequest, Piece
from dpl_router.dispatch.attempt import Attempt
from dpl_router.dispatch.outcomes import ended, outcome_of
from dpl_router.dispatch.recent import Told
from dpl_router.dispatch.wire import Gone, Wire
from dpl_router.errors import ClientGone, DplError
from dpl_router.metrics import Phase
from dpl_router.model_metrics import ModelMetrics, RetryReason
from dpl_router.scheduling.types import Demand, Reason


class Call(Struct, eq=False):
    """A request on its way: the client's words, and what the scheduler was told of it."""

    chat: ChatRequest
    demand: Demand
    gone: Gone
    metrics: ModelMetrics
    deadline: float
    last_error: DplError | None = None
    again: RetryReason | None = None
    """Why a node failed it, until another is asked."""
    waited: float = 0.0
    """Seconds in our own queue."""
    phase: Phase = "prefill"
    told_as: str | None = None
    """The decision's reason, of a request that is an exemplar: it is told of when it has ended."""
    brought: bool = False
    """Its model was looked for elsewhere, since no node had it."""

    def asked_again(self) -> None:
        """Another node is, after one that failed: only then it was a retry."""
        if self.again is not None:
            self.metrics.retries[self.again].inc()
            self.again = None

    def may_bring(self) -> bool:
        return not self.brought and self.last_error is None


class Accounts(Protocol):
    """Whom an answer tells how far it is."""

    def tell(self, attempt: Attempt) -> None: ...

    def end(self, call: Call, attempt: Attempt, error: DplError | None) -> None:
        """However it ended; later calls do nothing."""
        ...


class Answer(Struct, eq=False):
    """An answer that has begun. `close` is synchronous, idempotent, and returns the place."""

    node: str
    model: str
    reason: Reason
    media: str
    """The node's content type, as it said it."""
    attempts: int
    queue_ms: int
    first: Sequence[Piece]
    """The events that came with the first word; of a plain answer all."""
    _attempt: Attempt
    _call: Call
    _accounts: Accounts

    @property
    def truncated(self) -> bool:
        """The node cut the prompt to its context; known at the end of the answer."""
        done = self._attempt.done
        return done is not None and done.usage is not None and done.usage.truncated

    async def flow(self, wire: Wire) -> None:
        """The rest, written to the client the moment it comes, until its end.

        Raises: UpstreamBroke, with the answer incomplete; ClientGone.
        """
        try:
            gaps = self._call.metrics.inter_token_latency
            await self._attempt.flow(wire, self._accounts.tell, gaps)
        except DplError as error:
            self._accounts.end(self._call, self._attempt, error)
            raise

    def close(self) -> None:
        gone = None if self._attempt.done else ClientGone("the client left before the end")
        self._accounts.end(self._call, self._attempt, gone)


def told_of(call: Call, attempt: Attempt, reason: str, error: DplError | None) -> Told:
    """What the page of a request tells of it."""
    arrived = call.demand.arrived
    return Told(
        id=call.chat.id,
        began=call.chat.arrived,
        asked=call.chat.model,
        model=attempt.model,
        node=attempt.node.name,
        reason=reason,
        attempts=call.demand.attempts + 1,
        queued=call.waited,
        first_token=(attempt.first_at or attempt.last_at) - arrived,
        duration=time.monotonic() - arrived,
        tokens=outcome_of(attempt, error).tokens,
        outcome=ended(error),
    )
