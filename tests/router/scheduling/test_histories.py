"""Any history of events, in any order, told twice or not at all: counts are open requests."""

import pickle
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dpl_router.scheduling.speed import FASTEST, SLOWEST
from dpl_router.scheduling.types import (
    Action,
    Demand,
    Failure,
    NodeConfig,
    NodeFacts,
    Outcome,
    OutcomeKind,
)
from tests.router.scheduling.values import a_core, a_demand, a_node, ask

NODES = "abc"
ids = st.sampled_from([f"r{number}" for number in range(12)])
numbers = st.none() | st.floats() | st.integers(0, 5000)
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(OutcomeKind),
    failure=st.none() | st.sampled_from(Failure),
    tokens=st.integers(0, 5000),
    retry_after=st.none() | st.floats(),
    prompt_evaluated=numbers,
    prompt_seconds=numbers,
    eval_tokens=numbers,
    eval_seconds=numbers,
    load_seconds=st.none() | st.floats(),
)


class History(RuleBasedStateMachine):
    """The model: a dictionary of open attempts, and a list of those who wait."""

    def __init__(self) -> None:
        super().__init__()
        self.core = a_core(*(a_node(name) for name in NODES))
        self.now = 0.0
        self.open: dict[str, str] = {}
        self.held: list[str] = []
        self.members = set(NODES)

    def demand(self, name: str) -> Demand:
        return a_demand(name, prompt=len(name) * 100)

    @rule(name=ids)
    def arrives(self, name: str) -> None:
        """As dispatch does it."""
        demand = self.demand(name)
        decision = ask(self.core, demand, self.now)
        if decision.action is Action.DISPATCH and decision.node is not None:
            assert decision.node in self.members
            self.dispatched(name, decision.node)
        elif decision.action is Action.HOLD and decision.node is not None:
            self.core.on_hold(demand, decision.node, self.now)
            if name not in self.held:
                self.held.append(name)

    @rule(name=ids, node=st.sampled_from([*NODES, "stranger"]))
    def dispatched(self, name: str, node: str) -> None:
        """Twice, too; and to a node of which nobody has heard."""
        self.core.on_dispatch(name, self.demand(name), node, self.now)
        self.open.setdefault(name, node)
        if name in self.held:
            self.held.remove(name)

    @rule(name=ids, tokens=st.integers(-5, 2000))
    def speaks(self, name: str, tokens: int) -> None:
        self.core.on_token(name, tokens, self.now)

    @rule(name=ids, outcome=outcomes)
    def ends(self, name: str, outcome: Outcome) -> None:
        self.core.on_finish(name, outcome, self.now)
        self.open.pop(name, None)

    @rule(name=ids)
    def gives_up(self, name: str) -> None:
        self.core.on_unhold(name, self.now)
        if name in self.held:
            self.held.remove(name)

    @rule(
        names=st.sets(st.sampled_from(NODES)),
        up=st.none() | st.booleans(),
        eligible=st.none() | st.booleans(),
        slots=st.none() | st.integers(-1, 5),
        at=st.none() | st.floats(-50.0, 50.0),
    )
    def facts_come(
        self,
        names: set[str],
        up: bool | None,
        eligible: bool | None,
        slots: int | None,
        at: float | None,
    ) -> None:
        self.members = names
        fleet: list[NodeFacts] = [
            a_node(name, up=up, eligible=eligible, slots=slots, sampled_at=at) for name in names
        ]
        self.core.on_facts(fleet, self.now)

    @rule(names=st.sets(st.sampled_from(NODES)))
    def nodes_yaml_changes(self, names: set[str]) -> None:
        self.members = names
        self.core.on_reload([NodeConfig(name, 2) for name in names], self.now)

    def shown(self) -> set[str]:
        """All candidates, but for their caps and for what the time of their making changes."""
        snapshot = self.core.snapshot(None, self.now)
        return {
            repr(row._replace(slots=0, prefill=0.0, decode=0.0, load=0.0, load_from=0.0))
            for row in snapshot.views.get("m", snapshot.strangers).candidates
        }

    @rule()
    def nodes_yaml_is_read_again(self) -> None:
        """That makes all candidates anew: what was kept must have been true."""
        before = self.shown()
        self.core.on_reload([NodeConfig(name, 2) for name in self.members], self.now)

        assert self.shown() == before

    @rule(node=st.sampled_from(NODES), ok=st.booleans())
    def is_checked(self, node: str, ok: bool) -> None:
        self.core.on_check(node, ok, self.now)

    @rule(node=st.sampled_from(NODES), others=st.integers(0, 5))
    def lease_is_answered(self, node: str, others: int) -> None:
        if node in self.members and not self.core.on_lease(node, others, self.now):
            assert self.core.on_lease(node, others, self.now)

    @rule(node=st.sampled_from(NODES), seconds=st.floats(0.0, 50.0))
    def somebody_takes_a_node(self, node: str, seconds: float) -> None:
        self.core.on_exclusive(node, self.now + seconds, self.now)

    @rule(by=st.floats(-100.0, 100.0))
    def clock_jumps(self, by: float) -> None:
        self.now += by

    @invariant()
    def counts_are_the_open_requests(self) -> None:
        assert dict(self.core.in_flight()) == Counter((node, "m") for node in self.open.values())
        for node in (*NODES, "stranger"):
            assert self.core.busy(node) == list(self.open.values()).count(node)

    @invariant()
    def the_queue_is_in_the_order_of_holding(self) -> None:
        snapshot = self.core.snapshot(None, self.now)
        assert [name for name, _ in snapshot.claims] == self.held
        assert snapshot.views.get("m", snapshot.strangers).queue == tuple(self.held)
        assert self.core.head("m") == (self.held[0] if self.held else None)

    @invariant()
    def candidates_are_sane(self) -> None:
        snapshot = self.core.snapshot(None, self.now)
        for view in (*snapshot.views.values(), snapshot.strangers):
            for row in view.candidates:
                assert row.node in self.members
                assert SLOWEST <= row.prefill <= FASTEST
                assert SLOWEST <= row.decode <= FASTEST
                assert row.slots >= 1
                assert row.others >= 0
                assert min(row.in_flight, row.pending, row.rest) >= 0
                if not row.in_flight:
                    assert row.pending == row.rest == 0

    @invariant()
    def every_node_of_the_fleet_has_a_circuit(self) -> None:
        assert self.core.circuits(self.now).keys() == self.members

    @invariant()
    def asking_changes_nothing(self) -> None:
        demand = self.demand("asker")
        before = pickle.dumps(self.core.snapshot(demand, self.now))
        first = self.core.explain(demand, self.core.snapshot(demand, self.now), self.now)

        assert first == self.core.explain(demand, pickle.loads(before), self.now)
        assert pickle.dumps(self.core.snapshot(demand, self.now)) == before


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
