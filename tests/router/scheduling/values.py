"""Values for the scheduler's tests: small factories, and hypothesis strategies."""

from math import inf

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dpl_router.scheduling.core import make_core
from dpl_router.scheduling.live import Core
from dpl_router.scheduling.types import (
    Candidate,
    Config,
    Decision,
    Demand,
    ModelFacts,
    NodeConfig,
    NodeFacts,
    Outcome,
    OutcomeKind,
    Rejection,
    Snapshot,
    View,
)

DONE = Outcome(OutcomeKind.DONE, tokens=100)
ABANDONED = Outcome(OutcomeKind.ABANDON)
LOADED = ModelFacts(loaded=True)

IDLE = Candidate(
    node="a",
    model="m",
    labels={},
    barred=None,
    exclusive_until=-inf,
    alone_until=-inf,
    down=False,
    open_until=-inf,
    trying=False,
    known=True,
    slots=2,
    in_flight=0,
    pending=0,
    rest=0,
    others=0.0,
    others_mean=0.0,
    others_at=-inf,
    prefill=1000.0,
    decode=50.0,
    crowding=0.1,
    load=0.0,
    load_from=-inf,
    evicts=False,
)
"""A node with nothing to do that has the model."""


def a_demand(id: str = "d", model: str = "m", prompt: int = 400, **more: object) -> Demand:
    return Demand(**{"id": id, "model": model, "prompt_tokens": prompt, "arrived": 0.0, **more})  # type: ignore[arg-type] # the fields by name


def a_market(
    *rows: Candidate,
    queue: tuple[str, ...] = (),
    claims: tuple[tuple[str, str], ...] = (),
    absent: tuple[str, ...] = (),
    limit: int = 8,
    model: str = "m",
) -> Snapshot:
    """A snapshot in which these candidates have the model and nobody else has anything."""
    nobody = View((), absent, False, (), 0, 200.0)
    view = View(rows, absent, bool(rows), queue, limit, 200.0)
    return Snapshot({model: view}, nobody, claims, 0)


def a_node(node: str = "a", *models: str, **more: object) -> NodeFacts:
    """A healthy node with these models loaded (`m` where none is named)."""
    fields: dict[str, object] = {
        "eligible": True,
        "slots": 2,
        "sampled_at": 0.0,
        "models": dict.fromkeys(models or ("m",), LOADED),
    }
    return NodeFacts(node, **{**fields, **more})  # type: ignore[arg-type] # the fields by name


def a_core(*fleet: NodeFacts, now: float = 0.0) -> Core:
    core = make_core(Config(tuple(NodeConfig(facts.node) for facts in fleet)))
    core.on_facts(fleet, now)
    return core


def ask(core: Core, demand: Demand, now: float = 0.0) -> Decision:
    return core.decide(demand, core.snapshot(demand, now), now)


def send(core: Core, attempt: str, node: str, now: float = 0.0, **more: object) -> None:
    core.on_dispatch(attempt, a_demand(f"of {attempt}", **more), node, now)  # type: ignore[arg-type] # the fields by name


def fill(core: Core, node: str, places: int = 2) -> None:
    for place in range(places):
        send(core, f"{node}{place}", node)


# strategies

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No example has a time limit: these tests run beside others on a busy machine."""

speeds = st.floats(1.0, 10_000.0)
moments = st.just(-inf) | st.integers(-100, 100).map(float)
barriers = st.none() | st.sampled_from(
    [Rejection.CORDONED, Rejection.EXCLUSIVE, Rejection.NO_MEMORY]
)


@st.composite
def candidates(draw: st.DrawFn, node: str = "a", healthy: bool = False) -> Candidate:
    """Any candidate; a healthy one is turned away by no filter."""
    in_flight = draw(st.integers(0, 6))
    row = IDLE._replace(
        node=node,
        slots=draw(st.integers(1, 5)),
        in_flight=in_flight,
        rest=draw(st.integers(0, 400)) * in_flight,
        pending=draw(st.integers(0, 5000)) if in_flight else 0,
        others=draw(st.sampled_from([0.0, 0.3, 1.0, 3.0])),
        others_mean=draw(st.sampled_from([0.0, 0.2, 1.0])),
        others_at=draw(moments),
        prefill=draw(speeds),
        decode=draw(speeds),
        crowding=draw(st.floats(0.0, 0.9)),
        load=draw(st.sampled_from([0.0, 0.0, 5.0, 60.0])),
        load_from=draw(moments),
        evicts=draw(st.booleans()),
        known=draw(st.sampled_from([True, True, False])),
    )
    if healthy:
        return row
    return row._replace(
        barred=draw(barriers),
        exclusive_until=draw(moments),
        alone_until=draw(moments),
        down=draw(st.booleans()),
        open_until=draw(moments),
        trying=draw(st.booleans()),
    )


@st.composite
def fleets(draw: st.DrawFn, healthy: bool = False, least: int = 1) -> tuple[Candidate, ...]:
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=least, max_size=6, unique=True))
    return tuple(draw(candidates(name, healthy)) for name in names)


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    return a_demand(
        id=draw(st.text(max_size=4)),
        prompt=draw(st.integers(0, 20_000)),
        max_tokens=draw(st.none() | st.integers(0, 2000)),
        excluded=draw(st.frozensets(st.sampled_from("abcd"), max_size=2)),
        attempts=draw(st.integers(0, 2)),
    )
