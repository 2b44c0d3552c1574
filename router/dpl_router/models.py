"""Models as things that nodes have: which names there are, load, unload, pull.

What a client's request needs is dispatch's; this is for those who want a model somewhere before
(or instead of) asking it. Nothing here is tried elsewhere once a node was named.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import count

import structlog

from dpl_router.dispatch.refusals import cut, refused, stopping, unknown
from dpl_router.dispatch.sharing import Shared
from dpl_router.errors import (
    BadRequest,
    Conflict,
    DplError,
    ModelUnknown,
    NoEligibleNode,
    NotAllowed,
    NotFound,
    RequestRefused,
    Unavailable,
    UpstreamError,
    UpstreamUnreachable,
)
from dpl_router.inventory.aliases import LATEST
from dpl_router.nodes.slots import NodeSlots
from dpl_router.pulls import SUCCESS, Progress, plain, pulled
from dpl_router.scheduling.core import SchedulerCore
from dpl_router.scheduling.types import (
    Action,
    Demand,
    Failure,
    NodeFacts,
    Outcome,
    OutcomeKind,
    Rejection,
)
from dpl_router.security.keys import Identity
from dpl_router.telemetry.lists import may_serve
from dpl_router.telemetry.view import FleetView
from dpl_router.upstreams.clients import NodeClient

MOST_NODES = 3
"""So many are tried for a load."""
PULL_AGAIN = 30.0
"""Seconds after which a request for a model that is on its way shall come again."""
MOST_PULLS = 2
"""So many models at once are pulled for requests, over the whole fleet."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Warmed:
    node: str
    model: str
    """By our name."""
    seconds: float
    """Until the node said so; next to nothing where the model was there."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """What came of an unload, as names of nodes."""

    nodes: list[str]
    """They had it in memory, and have it no more."""
    kept: list[str]
    """They have it still: their servers cannot let go of it."""


class Models:
    """`look` asks a node anew what it has, so that the view knows what was done here."""

    def __init__(
        self,
        core: SchedulerCore,
        view: FleetView,
        clients: Mapping[str, NodeClient],
        slots: Mapping[str, NodeSlots],
        look: Callable[[str], Awaitable[None]],
    ) -> None:
        self._core = core
        self._view = view
        self._clients = clients
        self._slots = slots
        self._look = look
        self._numbers = count(1)
        self._loads: Shared[tuple[str, str, str], Warmed] = Shared()
        self._pulls: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    async def run(self) -> None:
        """Until cancelled; then what is pulled for requests is let go of."""
        try:
            await asyncio.Event().wait()
        finally:
            self._stopping = True
            for task in self._pulls.values():
                task.cancel()

    def resolve(self, name: str) -> str:
        """A client's spelling -> our name; the same where no node has it."""
        return self._view.names.resolve(name)

    def permit(self, caller: Identity, name: str) -> None:
        """By the client's spelling or by our name of what it means; empty: any model.

        Raises: NotAllowed, where the caller's key names neither.
        """
        if caller.may_use(name) or (name and caller.may_use(self.resolve(name))):
            return
        asked = f"the model {cut(name)!r}" if name else "any model: name one in `model`"
        raise NotAllowed(f"the key {caller.name!r} may not use {asked}")

    def near(self, name: str) -> list[str]:
        """Names that there are and that look like it."""
        return self._view.names.near(cut(name))

    # Loading.

    async def load(
        self, name: str, *, node: str | None = None, keep_alive: object | None = None
    ) -> Warmed:
        """Have the model in memory, on `node` or on the best one; one load at a time for all.

        A node that loads by itself is always asked, which renews its `keep_alive` (as Ollama reads
        it); what others list they have loaded. The last who waits stops a load by leaving.
        Raises: ModelUnknown, NotFound, NoEligibleNode, BadRequest, UpstreamError.
        """
        ours, failure = self._named(name), None
        tried: set[str] = set()
        while len(tried) < MOST_NODES:
            try:
                chosen = node if node is not None else self._best(name, ours, tried)
            except DplError as error:
                raise failure or error from None
            own = self._own(chosen, ours)
            key = (chosen, own, repr(keep_alive))
            try:
                return await self._loads.get(key, partial(self._load, chosen, ours, keep_alive))
            except UpstreamError as error:
                log.warning("load failed", node=chosen, model=ours, why=error.message)
                failure = error
                if node is not None:
                    break
                tried.add(chosen)
        assert failure is not None
        raise failure

    def _named(self, name: str) -> str:
        if not name:
            raise BadRequest("name a model", param="model")
        ours = self.resolve(name)
        if not self._view.names.knows(ours):
            raise unknown(name, self.near(name))
        return ours

    def _own(self, node: str, ours: str) -> str:
        """The node's name of it. Raises: NotFound, ModelUnknown."""
        if node not in self._clients:
            raise NotFound(f"there is no node {node!r}; GET /api/status/all lists them")
        place = self._view.names.on(node).get(ours)
        if place is None:
            raise ModelUnknown(
                f"node {node} does not have the model {cut(ours)!r}", self.near(ours)
            )
        return place.own

    def _best(self, name: str, ours: str, tried: set[str]) -> str:
        demand, now = self._demand(ours, frozenset(tried)), time.monotonic()
        decision = self._core.decide(demand, self._core.snapshot(demand, now), now)
        node = decision.node
        if node is None and decision.rejection is Rejection.FULL:
            node = next((row.node for row in decision.rows), None)  # a load needs no place
        if node is None or (decision.action is Action.REJECT and node in tried):
            raise refused(name, decision, self.near)
        return node

    def _demand(self, ours: str, excluded: frozenset[str] = frozenset()) -> Demand:
        return Demand(
            id=f"load-{next(self._numbers)}",
            model=ours,
            prompt_tokens=1,
            max_tokens=1,
            arrived=time.monotonic(),
            excluded=excluded,
        )

    async def _load(self, node: str, ours: str, keep_alive: object | None) -> Warmed:
        """In the book as a request is: others see what the node is at, and its lease is taken."""
        client, demand, started = self._clients[node], self._demand(ours), time.monotonic()
        if client.keeping is None:
            return Warmed(node, ours, 0.0)
        outcome = Outcome(OutcomeKind.CANCELLED)
        self._core.on_dispatch(demand.id, demand, node, started)
        if node in self._slots:
            self._slots[node].wanted()
        try:
            await self._ask_to_load(client, ours, keep_alive)
            took = time.monotonic() - started
            self._core.on_token(demand.id, 1, time.monotonic())
            outcome = Outcome(OutcomeKind.CANCELLED, load_seconds=took)
        except UpstreamUnreachable:
            outcome = Outcome(OutcomeKind.ERROR, failure=Failure.CONNECT)
            raise
        finally:
            self._core.on_finish(demand.id, outcome, time.monotonic())
        await self._look(node)
        log.info("model loaded", node=node, model=ours, seconds=round(took, 2))
        return Warmed(node, ours, round(took, 3))

    async def _ask_to_load(self, client: NodeClient, ours: str, keep_alive: object | None) -> None:
        keeping, listed = client.keeping, self._view.listed(client.name, ours)
        own, canonical = self._view.names.at(client.name, ours)
        context = listed.context if listed.loaded and listed.context else canonical
        refusal: DplError | None = None
        for request in keeping.loads(own, keep_alive, context) if keeping else ():
            try:
                await client.answer(request)
                return
            except RequestRefused as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal

    # Unloading.

    async def unload(self, name: str, *, node: str | None = None) -> LetGo:
        """Out of the memory of `node`, or of every node that has it there.

        Raises: ModelUnknown, NotFound, UpstreamError; Conflict where only such nodes have it in
        memory as cannot let go of it.
        """
        ours = self._named(name)
        if node is not None:
            self._own(node, ours)
        names, nodes = self._view.names, self._view.inventory.nodes
        having = [each.name for each in nodes if ours in names.on(each.name)]
        asked = [node] if node is not None else having
        able = [each for each in asked if self._clients[each].keeping is not None]
        outcomes = await asyncio.gather(
            *(self._unload(each, ours) for each in able), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        done = [each for each, had in zip(able, outcomes, strict=True) if had]
        loaded = self._loaded_on(ours)
        kept = [each for each in asked if each not in able and (each in loaded or not able)]
        if kept and not done:
            raise Conflict(
                f"{', '.join(kept)} cannot unload {ours!r}: the server has it for as long as it "
                "runs; stop the server there"
            )
        return LetGo(done, kept)

    def _loaded_on(self, ours: str) -> set[str]:
        having = self._view.models(time.monotonic()).get(ours, [])
        return {node for node, facts in having if facts.loaded}

    async def _unload(self, node: str, ours: str) -> bool:
        client, own = self._clients[node], self._own(node, ours)
        keeping = client.keeping
        listed = {model.name: model for model in await client.list_models()}
        if keeping is None or own not in listed or listed[own].loaded is False:
            return False
        await client.answer(keeping.unload(own))
        await self._look(node)
        log.info("model unloaded", node=node, model=ours)
        return True

    # Pulling.

    async def pull(self, name: str, *, node: str | None = None) -> AsyncGenerator[Progress, None]:
        """Progress as Ollama tells it, the last one `{"status": "success"}`: at once, and without
        the internet, where the model is there already. Leaving early stops the download.

        Raises: before any progress NotFound, Conflict, NoEligibleNode; UpstreamError.
        """
        if not name:
            raise BadRequest("name a model", param="model")
        if node is not None and node not in self._clients:
            raise NotFound(f"there is no node {node!r}; GET /api/status/all lists them")
        names, ours = self._view.names, self.resolve(name)
        if ours in names.on(node) if node is not None else names.knows(name):
            yield {"status": SUCCESS}
            return
        chosen = node if node is not None else self._to_pull(name)
        client = self._clients[chosen]
        if client.keeping is None:
            raise Conflict(f"node {chosen} cannot pull: its server has what it was started with")
        log.info("pull begins", node=chosen, model=name)
        async with aclosing(pulled(client, client.keeping.pull(name))) as lines:
            async for progress in lines:
                if progress.get("status") == SUCCESS:
                    await self._look(chosen)
                yield progress
        log.info("model pulled", node=chosen, model=name)

    def _to_pull(self, name: str) -> str:
        """Of the nodes that can and may: a GPU before none, then the most free memory, then the
        idlest."""

        def rank(facts: NodeFacts) -> tuple[bool, int, int, str]:
            return (
                facts.kind == "cpu",
                -(facts.memory_free or 0),
                self._core.busy(facts.node),
                facts.node,
            )

        able = [
            facts
            for facts in self._view.facts(time.monotonic())
            if self._clients[facts.node].keeping is not None and self._ready(facts)
        ]
        if not able:
            raise NoEligibleNode("no node can pull a model now: only Ollama can")
        own = name if ":" in name.rpartition("/")[2] else name + LATEST
        willing = {node.name for node in self._view.inventory.nodes if may_serve(node, own)}
        may = [facts for facts in able if facts.node in willing]
        if not may:
            raise NoEligibleNode(f"no node that can pull may serve {cut(name)!r}: see `models`")
        return min(may, key=rank).node

    def _ready(self, facts: NodeFacts) -> bool:
        check = self._view.check(facts.node)
        return check is not None and check.ok and not facts.cordoned and not facts.exclusive

    async def ensure(self, name: str) -> bool:
        """For a request whose model no node has: it is pulled, where nodes.yaml allows it.

        True = it is there now, and asking for it again makes sense. A pull goes on when the request
        has waited its time. A name that leads to a host of its own is an operator's to pull.
        Raises: ModelUnknown where the model cannot be had, Unavailable while it, or its turn to be
        pulled, is on its way.
        """
        router = self._view.inventory.router
        if self._view.names.knows(name):
            return True
        if not router.auto_pull or not plain(name) or not self._view.asked_all():
            return False  # a node that was not asked yet may have it
        try:
            async with asyncio.timeout(router.timeouts.first_token):
                await self._here(name)
        except TimeoutError:
            why = "is being" if name in self._pulls else "waits for other models that are being"
            raise Unavailable(
                f"{name!r} {why} pulled; ask again in a while", retry_after=PULL_AGAIN
            ) from None
        except Unavailable:
            raise
        except DplError as error:
            raise ModelUnknown(f"no node has the model {name!r}; {error.message}") from error
        return True

    async def _here(self, name: str) -> None:
        """Until it is pulled, after a turn among those that are. Raises: DplError."""
        while not self._view.names.knows(name):
            if self._stopping:
                raise stopping()
            task = self._pulls.get(name)
            if task is None and len(self._pulls) < MOST_PULLS:
                task = self._pulls[name] = asyncio.get_running_loop().create_task(self._whole(name))
                task.add_done_callback(partial(self._pulled, name))
            if task is not None:
                await asyncio.shield(task)
                return
            await asyncio.wait(self._pulls.values(), return_when=asyncio.FIRST_COMPLETED)

    def _pulled(self, name: str, task: asyncio.Task[None]) -> None:
        del self._pulls[name]
        if not task.cancelled() and task.exception() is not None:
            log.warning("pull failed", model=name, why=str(task.exception()))

    async def _whole(self, name: str) -> None:
        async with aclosing(self.pull(name)) as progress:
            async for _ in progress:
                pass
