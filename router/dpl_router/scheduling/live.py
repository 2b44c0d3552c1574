"""The core in this process's memory: what happened goes in by `on_*`, snapshots come out.

A candidate is made anew only when its node changed, so that a decision costs what was changed
since the last one plus the arithmetic.
"""

from collections.abc import Mapping, Sequence

from dpl_router.scheduling.book import Attempt, Book
from dpl_router.scheduling.node import Node
from dpl_router.scheduling.pipeline import decide, explain
from dpl_router.scheduling.queueing import STRANGERS, Queues
from dpl_router.scheduling.retry import RetryBudget
from dpl_router.scheduling.roster import Roster
from dpl_router.scheduling.speed import OUTPUT_PRIOR, Output
from dpl_router.scheduling.types import (
    Config,
    Demand,
    Failure,
    NodeConfig,
    NodeFacts,
    Outcome,
    OutcomeKind,
    Snapshot,
    View,
)

DONE, BUSY = OutcomeKind.DONE, Failure.BUSY
"""By themselves, since an enum looks its members up slowly."""


class Core:
    """See `core.SchedulerCore` for what each call promises."""

    def __init__(self, config: Config) -> None:
        self._seed = config.seed
        self._nodes = {node.id: Node(node) for node in config.nodes}
        self._book = Book()
        self._queues = Queues()
        self._budget = RetryBudget()
        self._outputs: dict[str, Output] = {}
        self._roster = Roster(self._nodes.values())

    # what is asked

    def snapshot(self, demand: Demand | None, now: float) -> Snapshot:
        if demand is None:
            views = {model: self._view(model, now) for model in self._roster.models}
            strangers = self._view(STRANGERS, now)
        else:
            strangers = self._view(demand.model, now)  # whatever the model is
            views = {demand.model: strangers}
        # As a NamedTuple makes itself, but for a Python call that costs more than the rest.
        return tuple.__new__(Snapshot, (views, strangers, self._queues.claims, self._seed))

    def _view(self, model: str, now: float) -> View:
        output, queues = self._outputs.get(model), self._queues
        mean = OUTPUT_PRIOR if output is None else output.mean
        queue = queues.waiting(model, self._roster.models) if queues.claims else ()
        return self._roster.view(model, queue, mean, now)

    decide = staticmethod(decide)
    explain = staticmethod(explain)

    def head(self, model: str) -> str | None:
        return next(iter(self._queues.waiting(model, self._roster.models)), None)

    def queues(self) -> Mapping[str, tuple[int, int]]:
        depths = self._queues.depths(self._roster.models)
        models = (self._roster.models - {""}) | depths.keys()
        return {model: (depths.get(model, 0), self._roster.limit(model)) for model in models}

    def in_flight(self) -> Mapping[tuple[str, str], int]:
        return self._book.counts()

    def busy(self, node: str) -> int:
        known = self._nodes.get(node)
        return 0 if known is None else known.tally.count

    def circuits(self, now: float) -> Mapping[str, int]:
        return {
            node.id: int(node.health.circuit(now)) for node in self._nodes.values() if not node.gone
        }

    def alone(self, now: float) -> Mapping[str, float]:
        return {
            node.id: node.alone_until - now
            for node in self._nodes.values()
            if now < node.alone_until and not node.gone
        }

    def may_retry(self, demand: Demand, failure: Failure, now: float) -> bool:
        return self._budget.allows(demand, failure, now)

    # what happened to the fleet

    def on_facts(self, fleet: Sequence[NodeFacts], now: float) -> None:
        for facts in fleet:
            self._node(NodeConfig(facts.node)).learn_facts(facts, now)
        self._members({facts.node for facts in fleet})

    def on_reload(self, nodes: Sequence[NodeConfig], now: float) -> None:
        for config in nodes:
            self._node(config).configure(config)
        self._members({config.id for config in nodes})

    def _node(self, config: NodeConfig) -> Node:
        """The node of that id, new where there was none."""
        node = self._nodes.get(config.id)
        if node is None:
            node = self._nodes[config.id] = Node(config)
        return node

    def _members(self, names: set[str]) -> None:
        for node in list(self._nodes.values()):
            node.gone = node.id not in names
            if node.gone and not node.tally.count:
                del self._nodes[node.id]
        self._roster = Roster(node for node in self._nodes.values() if not node.gone)
        self._outputs = {
            model: self._outputs.get(model) or Output() for model in self._roster.models
        }

    # what happened to a node

    def on_check(self, node: str, ok: bool, now: float) -> None:
        known = self._nodes.get(node)
        if known is not None:
            known.health.check(ok)
            known.changed()

    def on_lease(self, node: str, others: int, now: float) -> bool:
        known = self._nodes.get(node)
        if known is None or known.others.leased(others, now):
            return True
        known.changed()
        return False

    def on_exclusive(self, node: str, until: float, now: float) -> None:
        known = self._nodes.get(node)
        if known is not None:
            known.taken(until, now)

    # what happened to a request

    def on_hold(self, demand: Demand, node: str, now: float) -> None:
        self._queues.hold(demand.id, demand.model, node)

    def on_unhold(self, demand_id: str, now: float) -> None:
        self._queues.drop(demand_id)

    def on_dispatch(self, attempt: str, demand: Demand, node: str, now: float) -> None:
        if self._queues.claims:
            self._queues.drop(demand.id)
        if attempt in self._book:
            return
        self._budget.sent(demand, now)
        known = self._nodes.get(node)
        if known is None:
            known = self._nodes[node] = Node(NodeConfig(node))
            known.gone = True
        model, tally, health = demand.model, known.tally, known.health
        others = known.others
        theirs = others.value if others.value == others.mean else others.now(now)
        crowd = tally.count + 1 + theirs
        opened = Attempt(
            node, model, demand.prompt_tokens, self._expected(demand), health.epoch, crowd
        )
        self._book[attempt] = opened
        known.sent(model, now)
        tally.add(opened, now)
        if not health.calm:
            health.sent(attempt)
            known.changed()
        elif known.readers:
            known.counted()

    def _expected(self, demand: Demand) -> int:
        """Tokens of the answer: as many as the model's answers have, if the client lets it."""
        output, limit = self._outputs.get(demand.model), demand.max_tokens
        mean = OUTPUT_PRIOR if output is None else output.mean
        tokens = round(mean if limit is None or limit > mean else limit)
        return tokens if tokens > 1 else 1

    def on_token(self, attempt: str, tokens: int, now: float) -> None:
        opened = self._book.get(attempt)
        if opened is None:
            return
        node = self._nodes[opened.node]
        if not opened.tokens:
            self._first(attempt, opened, node, now)
        node.tally.heard(opened, max(1, tokens))
        node.counted()

    def _first(self, attempt: str, opened: Attempt, node: Node, now: float) -> None:
        if not node.health.calm:
            node.health.released(attempt)
            node.health.token(opened.epoch)
            node.changed()
        node.spoke(opened.model, now)

    def on_finish(self, attempt: str, outcome: Outcome, now: float) -> None:
        closed = self._book.pop(attempt, None)
        if closed is None:
            return
        node = self._nodes[closed.node]
        node.tally.remove(closed, now)
        if outcome.kind is DONE:
            self._ended_well(attempt, closed, node, outcome, now)
        else:
            self._ended_badly(attempt, closed, node, outcome, now)
        if outcome.retry_after is not None or outcome.failure is BUSY:
            node.leave_alone(outcome.retry_after, now)
        node.learn(closed, outcome, now)
        if node.gone and not node.tally.count:
            del self._nodes[node.id]
        if node.readers:
            node.counted()

    def _ended_well(
        self, attempt: str, closed: Attempt, node: Node, outcome: Outcome, now: float
    ) -> None:
        if not closed.tokens:
            self._first(attempt, closed, node, now)
        node.health.done(closed.epoch)
        tokens = outcome.eval_tokens or outcome.tokens or closed.tokens
        if tokens:
            for model in (closed.model, "") if closed.model else ("",):
                output = self._outputs.get(model)
                if output is not None:
                    output.learn(tokens)

    def _ended_badly(
        self, attempt: str, closed: Attempt, node: Node, outcome: Outcome, now: float
    ) -> None:
        node.health.released(attempt)
        if node.health.failed(outcome.failure, closed.epoch, now) and not self._last(node, now):
            node.health.open(now)
        node.changed()

    def _last(self, node: Node, now: float) -> bool:
        """Would closing the node help nobody? So it is where no other usable node has any of its
        models. Where another has some of them those go there; the rest come by panic."""
        usable = [
            other for other in self._nodes.values() if other is not node and other.usable(now)
        ]
        if not node.facts.models:
            return not usable
        return not any(other.facts.models.keys() & node.facts.models.keys() for other in usable)
