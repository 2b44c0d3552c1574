"""The scheduler's interface: the live router, a simulator and a replay drive this very code."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dpl_router.scheduling.live import Core
from dpl_router.scheduling.types import (
    Config,
    Decision,
    Demand,
    Failure,
    NodeConfig,
    NodeFacts,
    Outcome,
    Snapshot,
)


class SchedulerCore(Protocol):
    """State changes only in `on_*`; the rest only reads. Every time is an argument."""

    def snapshot(self, demand: Demand | None, now: float) -> Snapshot:
        """What `decide` needs for this demand; for every demand where none is named."""
        ...

    def decide(self, demand: Demand, snapshot: Snapshot, now: float) -> Decision:
        """Pure. A request that is not the head of its model's queue is never let past it."""
        ...

    def explain(self, demand: Demand, snapshot: Snapshot, now: float) -> Decision:
        """The same decision, with its rows: for people, not for the hot path."""
        ...

    def on_facts(self, fleet: Sequence[NodeFacts], now: float) -> None:
        """The whole fleet. A missing node gets nothing new; it goes with its last attempt."""
        ...

    def on_reload(self, nodes: Sequence[NodeConfig], now: float) -> None:
        """The whole fleet as nodes.yaml names it now; missing nodes go as in `on_facts`."""
        ...

    def on_check(self, node: str, ok: bool, now: float) -> None:
        """The router's own check of the node: two failures in a row = down."""
        ...

    def on_dispatch(self, attempt: str, demand: Demand, node: str, now: float) -> None:
        """Before the first byte leaves. Takes the demand out of the queue; spends retry budget
        where `demand.attempts` > 0."""
        ...

    def on_token(self, attempt: str, tokens: int, now: float) -> None:
        """The first token at once, then now and then; `tokens` is the total so far."""
        ...

    def on_finish(self, attempt: str, outcome: Outcome, now: float) -> None:
        """Once per attempt, however it ended; unknown and repeated ones change nothing."""
        ...

    def on_hold(self, demand: Demand, node: str, now: float) -> None:
        """As decided. A demand that is held already keeps its place."""
        ...

    def on_unhold(self, demand_id: str, now: float) -> None: ...

    def on_lease(self, node: str, others: int, now: float) -> bool:
        """A lease answer: what others hold there. False = our view was wrong, and is now right."""
        ...

    def on_exclusive(self, node: str, until: float, now: float) -> None:
        """A 409: somebody has the whole node. Newer facts that say otherwise end it early."""
        ...

    def head(self, model: str) -> str | None:
        """Id of the held request that is to be decided next."""
        ...

    def queues(self) -> Mapping[str, tuple[int, int]]:
        """Model -> (held, at most so many)."""
        ...

    def in_flight(self) -> Mapping[tuple[str, str], int]:
        """(node, model) -> open attempts, without zeros."""
        ...

    def busy(self, node: str) -> int:
        """Open attempts of ours on the node; 0 for an unknown one."""
        ...

    def circuits(self, now: float) -> Mapping[str, int]:
        """Node -> 0 closed, 1 half open, 2 open or down."""
        ...

    def alone(self, now: float) -> Mapping[str, float]:
        """Nodes that said 429 -> seconds for which they get nothing more."""
        ...

    def may_retry(self, demand: Demand, failure: Failure, now: float) -> bool:
        """May the failed attempt, sent with `demand`, be tried elsewhere? Before the first token
        only, which the caller knows. Spends nothing."""
        ...


def make_core(config: Config) -> Core:
    """The core that the router runs: `SchedulerCore` in this process's memory."""
    return Core(config)
