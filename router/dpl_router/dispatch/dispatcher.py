"""The one path of clients' calls to nodes: view -> decide -> place -> node -> outcome.

What the router asks on its own account (lists, loads, pulls) goes by the checks and by `models`.

`Dispatcher.open` comes back with the first words of an answer, or raises what the client should
hear. Until then other nodes are tried; after it never. There is no other retry loop.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import count

import structlog

from dpl_router.conversation import ChatRequest
from dpl_router.dispatch.answer import Answer, Call, told_of
from dpl_router.dispatch.attempt import Attempt
from dpl_router.dispatch.counted import Counted
from dpl_router.dispatch.outcomes import ended, outcome_of, retry_reason
from dpl_router.dispatch.patience import patience_for, writing_time
from dpl_router.dispatch.recent import Recent
from dpl_router.dispatch.refusals import refused, stopping
from dpl_router.dispatch.running import Running
from dpl_router.dispatch.sharing import unless_gone
from dpl_router.dispatch.turns import Turns
from dpl_router.dispatch.wire import Gone
from dpl_router.errors import BadRequest, ClientGone, DplError, ModelUnknown
from dpl_router.inventory.types import Timeouts
from dpl_router.metrics import RouterMetrics
from dpl_router.model_metrics import Route
from dpl_router.nodes.slots import NodeSlots
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
from dpl_router.telemetry.view import FleetView
from dpl_router.upstreams.clients import NodeClient

DISPATCH, HOLD, CHEAPEST, CUT = Action.DISPATCH, Action.HOLD, Reason.CHEAPEST, Failure.CUT
UNKNOWN = Rejection.UNKNOWN_MODEL
"""By themselves, since an enum looks its members up slowly."""
CIRCUITS = ("closed", "half open", "open")
LEAST_PATIENCE = 10.0
"""Seconds: a node that was given less, since the queue took the rest, is not blamed for it."""

log = structlog.get_logger()


class Dispatcher:
    """Holds what is in flight and what waits; the core decides, this carries out."""

    def __init__(
        self,
        core: SchedulerCore,
        clients: Mapping[str, NodeClient],
        slots: Mapping[str, NodeSlots],
        metrics: RouterMetrics,
        timeouts: Timeouts,
        view: FleetView,
    ) -> None:
        """`clients` and `slots` by node name: read at each call, so a reload changes them."""
        self._core = core
        self._clients = clients
        self._slots = slots
        self._metrics = metrics
        self._counted = Counted(metrics, view.reloads)
        self._names = view.names
        self.timeouts = timeouts
        self.have: Callable[[str], Awaitable[bool]] | None = None
        """Brings a model that no node has, where that is allowed: true once it is there."""
        self.holder: Callable[[str], str | None] = lambda _: None  # which operator locked a node
        self.draining = False
        self.open_calls = 0
        self.running = Running()
        self._numbers = count(1)
        self._turns = Turns()
        self.recent = Recent()

    async def open(
        self,
        chat: ChatRequest,
        gone: Gone,
        *,
        key: str,
        route: Route,
        tell: Callable[[str, str, float], None] | None = None,
    ) -> Answer:
        """Dispatch until a node has said its first word.

        `tell` hears (node, reason word, seconds in our queue) at each dispatch, before any answer.
        Raises: DplError: what the client should hear; every node that could be tried was.
        """
        if self.draining:
            raise stopping()
        call = self._begin(chat, gone, key, route)
        now = call.demand.arrived
        try:
            while True:
                decision, snapshot = self._decide(call, now)
                if decision.action is not DISPATCH:
                    if decision.rejection is UNKNOWN and call.may_bring():
                        now = await self._bring(call, decision, route)
                        continue
                    decision, snapshot = await self._place(call, decision)
                if tell is not None:
                    tell(decision.node or "", decision.reason or CHEAPEST, call.waited)
                answer = await self._try(call, decision, snapshot)
                if answer is not None:
                    return answer
                now = time.monotonic()
        except BaseException as error:
            self._count_end(call, error if isinstance(error, DplError) else ClientGone("cancelled"))
            raise

    def _begin(self, chat: ChatRequest, gone: Gone, key: str, route: Route) -> Call:
        now = time.monotonic()
        deadline = now + self.timeouts.first_token
        model = self._names.resolve(chat.model)
        id_ = str(next(self._numbers))  # ours: two calls may share the client's id
        # By place: a dataclass takes twice as long for names.
        demand = Demand(
            id_, model, chat.prompt_tokens, now, chat.max_tokens, deadline, key, chat.select
        )
        call = Call(chat, demand, gone, self._metrics.model(model, route), deadline)
        call.metrics.in_flight.value += 1
        self.open_calls += 1
        return call

    # Choosing, and waiting for a place.

    def _decide(self, call: Call, now: float) -> tuple[Decision, Snapshot]:
        snapshot = self._core.snapshot(call.demand, now)
        decision = self._core.decide(call.demand, snapshot, now)
        self._metrics.scheduling_seconds.observe(time.monotonic() - now)
        return decision, snapshot

    async def _bring(self, call: Call, decision: Decision, route: Route) -> float:
        """The time after the model was brought; the call has all its own again. Raises: DplError,
        where it was not."""
        model, call.brought = call.chat.model, True
        try:
            if self.have is None or not await unless_gone(self.have(model), call.gone):
                raise refused(model, decision, self._names.near, self.holder)
        except ModelUnknown:
            call.metrics.rejections[UNKNOWN].inc()
            raise
        if self.draining:
            raise stopping()
        now = time.monotonic()
        call.deadline = now + self.timeouts.first_token
        model = self._names.resolve(model)
        call.metrics.in_flight.value -= 1
        call.metrics = self._metrics.model(model, route)  # now it has series of its own
        call.metrics.in_flight.value += 1
        call.demand = replace(call.demand, model=model, arrived=now, deadline=call.deadline)
        return now

    async def _place(self, call: Call, decision: Decision) -> tuple[Decision, Snapshot]:
        """A decision to dispatch, after one that was not. Raises: DplError where there is none."""
        if decision.action is HOLD:
            decision, snapshot = await self._held(call, decision)
        if decision.action is DISPATCH:
            return decision, snapshot
        if call.last_error is not None:
            raise call.last_error  # every other node was tried or is out
        call.metrics.rejections[decision.rejection or Rejection.DOWN].inc()
        raise refused(call.chat.model, decision, self._names.near, self.holder)

    async def _held(self, call: Call, decision: Decision) -> tuple[Decision, Snapshot]:
        """Wait, and decide anew at each turn, until it is no longer to be held."""
        held_at = now = time.monotonic()
        call.phase = "queue"
        try:
            while True:
                self._core.on_hold(call.demand, decision.node or "", now)
                await self._turns.wait(call.demand.id, call.gone, call.deadline)
                now = time.monotonic()
                decision, snapshot = self._decide(call, now)  # it may wait for another now
                if decision.action is not HOLD:
                    break
        finally:
            call.waited += time.monotonic() - held_at
            self._core.on_unhold(call.demand.id, time.monotonic())
            self.wake()  # whoever comes next must not wait for one that left
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
        if self._turns.waiting:
            self._turns.wake(self._core.head(model) for model in self._core.queues())

    # One attempt.

    async def _try(self, call: Call, decision: Decision, snapshot: Snapshot) -> Answer | None:
        """The answer that has begun, or None where another node shall be tried."""
        try:
            attempt = self._send(call, decision, snapshot)
        except BadRequest as error:  # the node's protocol has no words for it: another's may
            call.demand = replace(
                call.demand, excluded=call.demand.excluded | {decision.node or ""}
            )
            call.last_error = error
            return None
        begun = False
        try:
            pieces = await attempt.first(call.chat)
            call.phase = "decode"
            if attempt.done is None:
                self.tell(attempt)
                # Of a plain answer nothing has left: another node may still be tried.
                if not call.chat.stream:
                    pieces = [*pieces, *await attempt.rest()]
            begun = True
        except DplError as error:
            self._finish(attempt, error)
            self._retry_or_raise(call, attempt, error)
            return None
        finally:
            if not begun:  # also when this task is cancelled
                self._finish(attempt, ClientGone("cancelled"))
        self._count_begun(call, attempt, decision)
        return Answer(
            attempt.node.name,
            attempt.model,
            decision.reason or CHEAPEST,
            attempt.media,
            call.demand.attempts + 1,
            round(call.waited * 1000) if call.waited else 0,
            pieces,
            attempt,
            call,
            self,
        )

    def _send(self, call: Call, decision: Decision, snapshot: Snapshot) -> Attempt:
        demand, chat, now = call.demand, call.chat, time.monotonic()
        name, model = decision.node or "", decision.model or demand.model
        node = self._clients[name]
        own, chat.context = self._names.at(name, model)
        call.metrics.decisions[decision.reason or CHEAPEST].value += 1
        view = snapshot.views.get(demand.model)
        rows = view.candidates if view is not None else ()
        writing = 0.0 if chat.stream else writing_time(chat, name, model, rows)
        patience = patience_for(demand, call.deadline - now, node, rows) + writing
        stream = node.send(chat, own, first_byte=patience)
        id_ = f"{demand.id}.{len(demand.excluded)}" if demand.excluded else demand.id
        attempt = Attempt(id_, node, own, stream, call.gone, now, writing)
        call.asked_again()
        if patience < LEAST_PATIENCE:
            attempt.hurried = patience < self.timeouts.first_token / 4
        self.running.add(attempt)
        if not demand.model:
            demand = replace(demand, model=model)
        self._core.on_dispatch(id_, demand, name, now)
        if (slots := self._slots.get(name)) is not None:
            slots.wanted()
        if self._turns.waiting:
            self.wake()  # the next in the queue may have a place as well
        return attempt

    def _retry_or_raise(self, call: Call, attempt: Attempt, error: DplError) -> None:
        if (why := retry_reason(error)) is None:
            raise error
        self._metrics.wasted_tokens["retried"].inc(attempt.tokens)
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
        call.again = why

    def _count_begun(self, call: Call, attempt: Attempt, decision: Decision) -> None:
        """Once for each call; a plain answer's first token leaves with its last."""
        call.metrics.queue_wait.observe(call.waited)
        if call.chat.stream:
            now = attempt.last_at
            if call.metrics.first_token(now - call.demand.arrived, call.chat.id):
                call.told_as = decision.reason or CHEAPEST
            node = self._metrics.node(attempt.node.name)
            node.time_to_first_token.observe(now - attempt.started)

    def tell(self, attempt: Attempt) -> None:
        attempt.told = attempt.last_at
        self._metrics.node(attempt.node.name).last_event.value = time.time()
        self._core.on_token(attempt.id, attempt.tokens, attempt.last_at)

    def cut(self) -> None:
        """The router ends: who still waits hears so, in a status or as a stream's last event."""
        self.draining = True
        self.running.cut_all(stopping())
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
            self._counted.answer(call.metrics, call.chat, attempt)
            if call.told_as is not None:
                self.recent.add(told_of(call, attempt, call.told_as, error))

    def _finish(self, attempt: Attempt, error: DplError | None) -> None:
        """Give the place back: once for every attempt, however it ended."""
        if attempt.finished:
            return
        attempt.finished = True
        self.running.discard(attempt)
        attempt.close()
        outcome = outcome_of(attempt, error)
        self._core.on_finish(attempt.id, outcome, time.monotonic())
        metrics = self._metrics.node(attempt.node.name)
        if error is None:
            metrics.ended["ok"].value += 1
            metrics.last_event.value = time.time()
        else:
            metrics.ended[ended(error)].value += 1
            if isinstance(error, ClientGone):
                self._metrics.wasted_tokens["cancelled"].inc(attempt.tokens)
        if outcome.failure is CUT:
            metrics.streams_truncated.inc()
        if self._turns.waiting:
            self.wake()

    def _count_end(self, call: Call, error: DplError | None) -> None:
        metrics = call.metrics
        self.open_calls -= 1
        metrics.in_flight.value -= 1
        end = "ok" if error is None else ended(error)
        metrics.ended[end].value += 1
        metrics.durations[end].observe(time.monotonic() - call.demand.arrived)
        if error is not None and isinstance(error, ClientGone):
            self._metrics.client_left[call.phase].inc()
