"""The one path by which anything reaches a node: view -> decide -> place -> node -> outcome.

`Dispatcher.open` comes back with the first words of an answer, or raises what the client should
hear. Until then other nodes are tried; after it never. There is no other retry loop.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import structlog

from dpl_router.attempt import (
    TELL_EVERY,
    Attempt,
    Gone,
    Wire,
    ended,
    outcome_of,
    retry_reason,
    writing_time,
)
from dpl_router.conversation import ChatRequest, Piece
from dpl_router.errors import (
    ClientGone,
    DplError,
    LeaseLost,
)
from dpl_router.inventory.types import Timeouts
from dpl_router.metrics import ModelMetrics, Phase, Route, RouterMetrics
from dpl_router.nodes.slots import NodeSlots
from dpl_router.refusals import refused, stopping
from dpl_router.scheduling.core import SchedulerCore
from dpl_router.scheduling.types import (
    Action,
    Decision,
    Demand,
    Failure,
    Reason,
    Rejection,
    Snapshot,
)
from dpl_router.turns import Turns
from dpl_router.upstreams.clients import NodeClient

CIRCUITS = ("closed", "half open", "open")
LEAST_PATIENCE = 10.0
"""Seconds: a node that was given less, since the queue took the rest, is not blamed for it."""

log = structlog.get_logger()


@dataclass(slots=True)
class Call:
    """A request on its way: the client's words, and what the scheduler was told of it."""

    chat: ChatRequest
    demand: Demand
    gone: Gone
    metrics: ModelMetrics
    deadline: float
    last_error: DplError | None = None
    waited: float = 0.0
    """Seconds in our own queue."""
    phase: Phase = "prefill"


class Answer:
    """An answer that has begun. `close` is synchronous, idempotent, and returns the place."""

    def __init__(
        self,
        dispatcher: "Dispatcher",
        call: Call,
        attempt: Attempt,
        reason: Reason,
        first: Sequence[Piece],
    ) -> None:
        self._dispatcher = dispatcher
        self._call = call
        self._attempt = attempt
        self._first = first
        self.node = attempt.node.name
        self.model = attempt.model
        self.reason = reason
        self.media = attempt.media
        self.attempts = call.demand.attempts + 1
        self.queue_ms = round(call.waited * 1000)

    async def next(self) -> Sequence[Piece]:
        """The next events, in order; empty at the end.

        Raises: UpstreamBroke, with the answer incomplete; ClientGone.
        """
        if self._first:
            pieces, self._first = self._first, ()
            return pieces
        try:
            pieces = await self._attempt.next()
        except DplError as error:
            self._dispatcher.end(self._call, self._attempt, error)
            raise
        if self._attempt.last_at - self._attempt.told > TELL_EVERY:
            self._dispatcher.tell(self._attempt)
        return pieces

    async def flow(self, wire: Wire) -> None:
        """The rest, written to the client the moment it comes. Raises: as `next`."""
        try:
            await self._attempt.flow(wire, self._dispatcher.tell)
        except DplError as error:
            self._dispatcher.end(self._call, self._attempt, error)
            raise

    def close(self) -> None:
        gone = None if self._attempt.done else ClientGone("the client left before the end")
        self._dispatcher.end(self._call, self._attempt, gone)


class Dispatcher:
    """Holds what is in flight and what waits; the core decides, this carries out."""

    def __init__(
        self,
        core: SchedulerCore,
        clients: Mapping[str, NodeClient],
        slots: Mapping[str, NodeSlots],
        metrics: RouterMetrics,
        timeouts: Timeouts,
    ) -> None:
        """`clients` and `slots` by node name: read at each call, so a reload changes them."""
        self._core = core
        self._clients = clients
        self._slots = slots
        self._metrics = metrics
        self.timeouts = timeouts
        self.draining = False
        self.open_calls = 0
        self._running: set[Attempt] = set()
        self._numbers = count(1)
        self._turns = Turns()

    async def open(
        self,
        chat: ChatRequest,
        gone: Gone,
        *,
        key: str,
        route: Route,
        tell: Callable[[str, str], None] | None = None,
    ) -> Answer:
        """Dispatch until a node has said its first word.

        `tell` hears (node, reason word) at each dispatch, before any answer.
        Raises: DplError: what the client should hear; every node that could be tried was.
        """
        if self.draining:
            raise stopping()
        call = self._begin(chat, gone, key, route)
        try:
            while True:
                decision, snapshot = await self._place(call)
                if tell is not None:
                    tell(decision.node or "", decision.reason or Reason.CHEAPEST)
                answer = await self._try(call, decision, snapshot)
                if answer is not None:
                    return answer
        except BaseException as error:
            self._count_end(call, error if isinstance(error, DplError) else ClientGone("cancelled"))
            raise

    def _begin(self, chat: ChatRequest, gone: Gone, key: str, route: Route) -> Call:
        now = time.monotonic()
        deadline = now + self.timeouts.first_token
        demand = Demand(
            id=str(next(self._numbers)),  # ours: two calls may share the client's id
            model=chat.model,
            prompt_tokens=chat.prompt_tokens,
            max_tokens=chat.max_tokens,
            arrived=now,
            deadline=deadline,
            key=key,
        )
        call = Call(chat, demand, gone, self._metrics.model(chat.model, route), deadline)
        call.metrics.in_flight.inc()
        self.open_calls += 1
        return call

    # Choosing, and waiting for a place.

    async def _place(self, call: Call) -> tuple[Decision, Snapshot]:
        """A decision to dispatch. Raises: DplError where there is none to be had."""
        held_at: float | None = None
        try:
            while True:
                now = time.monotonic()
                demand = call.demand
                snapshot = self._core.snapshot(demand, now)
                decision = self._core.decide(demand, snapshot, now)
                self._metrics.scheduling_seconds.observe(time.monotonic() - now)
                if decision.action is not Action.HOLD:
                    break
                if held_at is None:
                    held_at, call.phase = now, "queue"
                self._core.on_hold(demand, decision.node or "", now)  # it may wait for another now
                await self._turns.wait(demand.id, call.gone, call.deadline)
        finally:
            if held_at is not None:
                call.waited += time.monotonic() - held_at
                self._core.on_unhold(call.demand.id, time.monotonic())
                self.wake()  # whoever comes next must not wait for one that left
        if decision.action is Action.REJECT:
            if call.last_error is not None:
                raise call.last_error  # every other node was tried or is out
            call.metrics.rejections[decision.rejection or Rejection.DOWN].inc()
            raise refused(call.chat.model, decision)
        call.phase = "prefill"
        return decision, snapshot

    async def run(self) -> None:
        """Until cancelled: time alone frees places too (breakers, 429s, others' work fades)."""
        circuits: Mapping[str, int] = {}
        while True:
            await asyncio.sleep(1.0)
            self.wake()
            before, circuits = circuits, self._core.circuits(time.monotonic())
            for node, state in circuits.items():
                if state != before.get(node, 0):
                    log.info("circuit changed", node=node, now=CIRCUITS[state])

    def wake(self) -> None:
        """Let the head of each queue be decided anew: a place, a fact or the inventory changed."""
        if self._turns:
            self._turns.wake(self._core.head(model) for model in self._core.queues())

    # One attempt.

    async def _try(self, call: Call, decision: Decision, snapshot: Snapshot) -> Answer | None:
        """The answer that has begun, or None where another node shall be tried."""
        attempt = self._send(call, decision, snapshot)
        begun = False
        try:
            pieces = await attempt.first(call.chat)
            call.phase = "decode"
            self.tell(attempt)
            # Of a plain answer nothing has left: another node may still be tried.
            if not call.chat.stream and attempt.done is None:
                pieces = [*pieces, *await attempt.rest()]
            begun = True
        except DplError as error:
            self._finish(attempt, error)
            self._retry_or_raise(call, attempt, error)
            return None
        finally:
            if not begun:  # also when this task is cancelled
                self._finish(attempt, ClientGone("cancelled"))
        self._count_begun(call, attempt)
        return Answer(self, call, attempt, decision.reason or Reason.CHEAPEST, pieces)

    def _send(self, call: Call, decision: Decision, snapshot: Snapshot) -> Attempt:
        node, model = self._clients[decision.node or ""], decision.model or call.chat.model
        call.metrics.decisions[decision.reason or Reason.CHEAPEST].inc()
        patience = self._patience(call, node.name, model, snapshot)
        stream = node.send(call.chat, model, first_byte=patience)
        attempt = Attempt(
            f"{call.demand.id}.{len(call.demand.excluded)}", node, model, stream, call.gone
        )
        attempt.hurried = patience < min(LEAST_PATIENCE, self.timeouts.first_token / 4)
        self._running.add(attempt)
        demand = call.demand if call.demand.model else replace(call.demand, model=model)
        self._core.on_dispatch(attempt.id, demand, node.name, attempt.started)
        slots = self._slots.get(node.name)
        if slots is not None:
            slots.wanted()
        self.wake()  # the next in the queue may have a place as well
        return attempt

    def _patience(self, call: Call, node: str, model: str, snapshot: Snapshot) -> float:
        """Seconds for the first byte: half of what is left while others could serve, else all.

        A plain answer's first byte may come with its last: the time to write it is added.
        """
        left = max(1.0, call.deadline - time.monotonic())
        view = snapshot.views.get(call.demand.model)
        alone, writing = True, 0.0
        for row in view.candidates if view is not None else ():
            if row.node == node and row.model == model:
                writing = writing_time(call.chat, row)
            elif row.node != node and row.barred is None and not row.down:
                alone = alone and row.node in call.demand.excluded
        patience = min(left if alone else left / 2, self._clients[node].first_token)
        return patience + (0.0 if call.chat.stream else writing)

    def _retry_or_raise(self, call: Call, attempt: Attempt, error: DplError) -> None:
        why = retry_reason(error)
        if why is None:
            raise error
        log.warning(
            "attempt failed",
            request=call.chat.id,
            node=attempt.node.name,
            model=attempt.model,
            attempt=call.demand.attempts + 1,
            why=error.message,
        )
        error.message = f"node {attempt.node.name}: {error.message}"
        ours = why == "lock_conflict"  # nothing failed: a stranger's lease came first
        demand = replace(
            call.demand,
            excluded=call.demand.excluded | {attempt.node.name},
            attempts=call.demand.attempts + (not ours),
        )
        # Nothing has left for the client, so a cut or a missing path is no more than a reset.
        if not ours and not self._core.may_retry(call.demand, Failure.RESET, time.monotonic()):
            raise error
        call.demand = demand
        call.last_error = call.last_error if ours else error
        call.metrics.retries[why].inc()

    def _count_begun(self, call: Call, attempt: Attempt) -> None:
        """Once for each call; a plain answer's first token leaves with its last."""
        call.metrics.queue_wait.observe(call.waited)
        if call.chat.stream:
            now = attempt.last_at
            call.metrics.first_token(now - call.demand.arrived, call.chat.id)
            node = self._metrics.node(attempt.node.name)
            node.time_to_first_token.observe(now - attempt.started)

    def tell(self, attempt: Attempt) -> None:
        attempt.told = attempt.last_at
        self._core.on_token(attempt.id, attempt.tokens, attempt.last_at)

    def stop_unanswered(self, node: str) -> None:
        """Somebody holds `node` exclusively: attempts without a first word go elsewhere."""
        for attempt in tuple(self._running):
            if attempt.node.name == node and attempt.first_at is None:
                attempt.stream.abort(LeaseLost(f"{node} is held exclusively by somebody else"))

    def cut(self) -> None:
        """The router ends: who still waits hears so, in a status or as a stream's last event."""
        self.draining = True
        for attempt in tuple(self._running):
            attempt.stream.abort(stopping())
        self._turns.end(stopping())

    # The end.

    def end(self, call: Call, attempt: Attempt, error: DplError | None) -> None:
        """Of an answer that had begun; later calls do nothing."""
        if not attempt.finished:
            if error is not None and not isinstance(error, ClientGone):
                log.warning(
                    "answer broke off",
                    request=call.chat.id,
                    node=attempt.node.name,
                    model=attempt.model,
                    tokens=attempt.tokens,
                    why=error.message,
                )
            self._finish(attempt, error)
            self._count_end(call, error)
            self._count_answer(call, attempt)

    def _finish(self, attempt: Attempt, error: DplError | None) -> None:
        """Give the place back: once for every attempt, however it ended."""
        if attempt.finished:
            return
        attempt.finished = True
        self._running.discard(attempt)
        attempt.close()
        outcome = outcome_of(attempt, error)
        self._core.on_finish(attempt.id, outcome, time.monotonic())
        metrics = self._metrics.node(attempt.node.name)
        metrics.ended[ended(error)].inc()
        if outcome.failure is Failure.CUT:
            metrics.streams_truncated.inc()
        self.wake()

    def _count_end(self, call: Call, error: DplError | None) -> None:
        self.open_calls -= 1
        call.metrics.in_flight.dec()
        call.metrics.ended[ended(error)].inc()
        call.metrics.duration.observe(time.monotonic() - call.demand.arrived)
        if isinstance(error, ClientGone):
            self._metrics.client_left[call.phase].inc()

    def _count_answer(self, call: Call, attempt: Attempt) -> None:
        usage = attempt.done.usage if attempt.done is not None else None
        tokens = (usage.completion_tokens if usage is not None else None) or attempt.tokens
        seconds = attempt.last_at - (attempt.first_at or attempt.last_at)
        if tokens > 1 and seconds > 0:
            call.metrics.time_per_output_token.observe(seconds / (tokens - 1))
            pair = self._metrics.node_model(attempt.node.name, attempt.model)
            pair.output_tokens.inc(tokens)
            pair.decode_seconds.inc(seconds)
        if usage is not None:
            call.metrics.input_tokens.inc(usage.prompt_tokens or 0)
            call.metrics.output_tokens.inc(usage.completion_tokens or 0)
            call.metrics.cached_tokens.inc(usage.cached_tokens or 0)
