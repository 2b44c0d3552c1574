"""What the core makes of facts, leases and reloads."""

from collections.abc import Callable
from math import inf

import pytest

from dpl_router.scheduling.core import SchedulerCore, make_core
from dpl_router.scheduling.live import Core
from dpl_router.scheduling.types import (
    Action,
    Candidate,
    Config,
    Failure,
    ModelFacts,
    NodeConfig,
    NodeFacts,
    Outcome,
    OutcomeKind,
    Rejection,
)
from tests.router.scheduling.values import (
    ABANDONED,
    DONE,
    LOADED,
    a_core,
    a_demand,
    a_node,
    ask,
    fill,
    send,
)


def row(core: Core, node: str = "a", model: str = "m", now: float = 0.0) -> Candidate:
    """The candidate as a decision would see it."""
    view = core.snapshot(a_demand(model=model), now).views[model]
    return next(row for row in view.candidates if row.node == node)


def answer(core: Core, outcome: Outcome, prompt: int = 400, now: float = 0.0) -> None:
    """One request to `a` that ends so."""
    send(core, "x", "a", now, prompt=prompt)
    core.on_token("x", 1, now)
    core.on_finish("x", outcome, now)


def test_the_core_keeps_the_interface() -> None:
    core: SchedulerCore = make_core(Config((NodeConfig("a"),)))

    assert core.busy("a") == 0


# models


def test_a_model_that_no_node_lists_is_unknown() -> None:
    decision = ask(a_core(a_node("a")), a_demand(model="zzz"))

    assert (decision.action, decision.rejection) == (Action.REJECT, Rejection.UNKNOWN_MODEL)
    assert [(row.node, row.rejection) for row in decision.rows] == [("a", Rejection.NO_MODEL)]


def test_a_node_of_unknown_inventory_is_not_tried_while_another_lists_the_model() -> None:
    core = a_core(a_node("a"), a_node("b", models={}, inventory_known=False))
    fill(core, "a")

    assert ask(core, a_demand()).node == "a"


def test_before_the_first_facts_any_node_is_tried() -> None:
    core = make_core(Config((NodeConfig("a"),)))

    assert ask(core, a_demand()).node == "a"
    assert ask(core, a_demand(model="")).node == "a"


def test_a_node_known_to_be_down_is_not_asked_for_an_unlisted_model_first() -> None:
    unknown = {"models": {}, "inventory_known": False}
    core = a_core(a_node("a", **unknown, up=False), a_node("b", **unknown, eligible=None))

    assert ask(core, a_demand()).node == "b"


def test_for_any_model_the_cheapest_loaded_one_is_named() -> None:
    models = {"big": LOADED, "cold": ModelFacts(loaded=False)}
    core = a_core(a_node("a", models=models), a_node("b", models={"small": LOADED}, kind="gpu"))

    decision = ask(core, a_demand(model=""))

    assert (decision.node, decision.model) == ("b", "small")


def test_for_any_model_one_that_must_load_is_better_than_none() -> None:
    core = a_core(a_node("a", models={"cold": ModelFacts(loaded=False)}))

    assert ask(core, a_demand(model="")).model == "cold"


def test_any_model_of_a_fleet_without_models_is_a_refusal_but_not_a_404() -> None:
    assert ask(a_core(a_node("a", models={})), a_demand(model="")).rejection is Rejection.NO_MODEL


def test_tokens_count_what_is_left_of_an_answer() -> None:
    core = a_core(a_node("a"))
    send(core, "x", "a")

    assert (row(core).pending, row(core).rest) == (400, 200)

    core.on_token("x", 1, 0.0)
    core.on_token("x", 50, 0.0)

    assert (row(core).pending, row(core).rest) == (0, 150)


# filters from facts


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"cordoned": True}, Rejection.CORDONED),
        ({"exclusive": True, "eligible": False}, Rejection.EXCLUSIVE),
        ({"models": {"m": ModelFacts(loaded=True, differs=True)}}, Rejection.IDENTITY),
        ({"up": False}, Rejection.DOWN),
        ({"eligible": False}, Rejection.DOWN),
        ({"labels": {"room": "cellar"}}, Rejection.LABELS),
        ({"eligible": None}, None),
        ({"labels": {"room": "attic"}}, None),
    ],
)
def test_facts_turn_a_node_away(facts: dict[str, object], word: Rejection | None) -> None:
    core = a_core(a_node("a", **facts), a_node("b", labels={"room": "attic"}))
    demand = a_demand(select={"room": "attic"} if "labels" in facts else {})

    explained = core.explain(demand, core.snapshot(demand, 0.0), 0.0)

    assert {row.node: row.rejection for row in explained.rows} == {"a": word, "b": None}


@pytest.mark.parametrize(
    ("memory", "free", "resident", "word", "evicts"),
    [
        (8, 10, {}, None, False),
        (12, 10, {"x": 4}, None, True),
        (15, 10, {"x": 4}, Rejection.NO_MEMORY, True),
        (15, 10, {"x": None}, None, True),
        (15, None, {"x": 4}, None, False),
        (None, 10, {"x": 4}, None, False),
    ],
)
def test_a_model_that_would_not_fit_even_alone_has_no_memory(
    memory: int | None,
    free: int | None,
    resident: dict[str, int | None],
    word: Rejection | None,
    evicts: bool,
) -> None:
    models = {name: ModelFacts(loaded=True, memory=size) for name, size in resident.items()}
    models["m"] = ModelFacts(loaded=False, memory=memory)
    seen = row(a_core(a_node("a", models=models, memory_free=free)))

    assert (seen.barred, seen.evicts) == (word, evicts)


def test_somebody_elses_lease_keeps_us_away_until_it_ends() -> None:
    core = a_core(a_node("a"))
    core.on_exclusive("a", until=30.0, now=10.0)
    core.on_exclusive("unknown", until=30.0, now=10.0)

    assert ask(core, a_demand(), 29.9).rejection is Rejection.EXCLUSIVE
    assert ask(core, a_demand(), 30.0).action is Action.DISPATCH


@pytest.mark.parametrize(
    ("sampled", "exclusive", "away"), [(9.0, False, True), (11.0, False, False), (11.0, True, True)]
)
def test_only_newer_facts_that_say_otherwise_end_it_early(
    sampled: float, exclusive: bool, away: bool
) -> None:
    core = a_core(a_node("a"))
    core.on_exclusive("a", until=30.0, now=10.0)
    core.on_facts([a_node("a", sampled_at=sampled, exclusive=exclusive)], 12.0)

    assert (ask(core, a_demand(), 12.0).rejection is Rejection.EXCLUSIVE) is away


# slots


@pytest.mark.parametrize(
    ("said", "cap", "slots"),
    [(8, None, 8), (8, 3, 3), (2, 3, 2), (None, None, 4), (None, 9, 9), (0, None, 1), (8, 0, 1)],
)
def test_slots_are_what_the_node_says_capped_by_nodes_yaml(
    said: int | None, cap: int | None, slots: int
) -> None:
    core = make_core(Config((NodeConfig("a", cap),)))
    core.on_facts([a_node("a", slots=said)], 0.0)

    assert row(core).slots == slots


# what a decision sees


@pytest.mark.parametrize(
    "happens",
    [
        lambda core: core.on_finish("x", Outcome(OutcomeKind.DONE, retry_after=9.0), 1.0),
        lambda core: core.on_finish("x", Outcome(OutcomeKind.ERROR, failure=Failure.BUSY), 1.0),
        lambda core: core.on_finish("x", ABANDONED, 1.0),
        lambda core: core.on_token("x", 1, 1.0),
        lambda core: core.on_dispatch("y", a_demand(), "a", 1.0),
        lambda core: core.on_exclusive("a", 9.0, 1.0),
        lambda core: core.on_lease("a", 3, 1.0),
        lambda core: core.on_check("a", False, 1.0),
        lambda core: core.on_facts([a_node("a", cordoned=True)], 1.0),
        lambda core: core.on_reload([NodeConfig("a", slots=1)], 1.0),
    ],
)
def test_what_happens_is_seen_by_the_next_decision(happens: Callable[[Core], None]) -> None:
    """Candidates are kept until their node changes: nothing may be missed."""
    core = a_core(a_node("a"))
    core.on_check("a", False, 0.0)
    send(core, "x", "a")
    before = row(core)
    again = row(core)

    happens(core)

    assert again is before
    assert row(core, now=1.0) != before


def test_an_answer_that_says_when_to_come_back_keeps_the_next_request_away() -> None:
    core = a_core(a_node("a"))
    send(core, "x", "a")
    core.on_token("x", 1, 0.0)

    assert row(core).alone_until == -inf

    core.on_finish("x", Outcome(OutcomeKind.DONE, retry_after=9.0), 1.0)

    assert row(core).alone_until == 10.0


# others


def counted(running: int | None, waiting: int | None = None, at: float = 10.0) -> NodeFacts:
    models = {"m": ModelFacts(loaded=True, running=running, waiting=waiting)}
    return a_node("a", models=models, sampled_at=at, slots=4)


def test_what_the_engine_counts_beyond_ours_at_that_moment_is_others() -> None:
    core = a_core(counted(0, at=0.0))
    send(core, "x", "a", 5.0)
    send(core, "late", "a", 11.0)
    core.on_facts([counted(2, 1)], 12.0)

    assert row(core, now=12.0).others == 2.0


def test_an_engine_that_does_not_count_says_nothing_of_others() -> None:
    core = a_core(counted(3))
    core.on_facts([counted(None, at=20.0)], 21.0)

    assert row(core, now=21.0).others == 3.0


def test_facts_without_a_time_are_taken_for_new() -> None:
    core = a_core(counted(0))
    core.on_facts([a_node("a", models={"m": ModelFacts(running=2)}, sampled_at=None)], 50.0)

    assert row(core, now=50.0).others == 2.0


def test_a_lease_answer_that_is_news_is_used_for_the_next_decision() -> None:
    core = a_core(a_node("a"), a_node("b"))

    assert core.on_lease("a", 1, 0.0) is False
    assert core.on_lease("a", 1, 0.0) is True
    assert core.on_lease("unknown", 9, 0.0) is True
    assert row(core).others == 1.0


# who belongs to the fleet


def test_a_node_that_the_facts_miss_gets_nothing_new() -> None:
    core = a_core(a_node("a"), a_node("b"))
    core.on_facts([a_node("b")], 0.0)

    assert core.circuits(0.0) == {"b": 0}
    assert ask(core, a_demand()).node == "b"


def test_a_missing_node_goes_when_its_last_attempt_has_finished() -> None:
    core = a_core(a_node("a"), a_node("b"))
    send(core, "x", "a")
    core.on_facts([a_node("b")], 0.0)

    assert (core.busy("a"), core.in_flight()) == (1, {("a", "m"): 1})

    core.on_token("x", 1, 0.0)
    core.on_finish("x", DONE, 0.0)

    assert (core.busy("a"), core.in_flight()) == (0, {})


def test_a_node_that_comes_back_after_that_is_a_new_one() -> None:
    """Another machine may have its name."""
    core = a_core(a_node("a"), a_node("b"))
    send(core, "x", "a")
    core.on_facts([a_node("b")], 0.0)
    core.on_finish("x", Outcome(OutcomeKind.DONE, eval_tokens=400, eval_seconds=1.0), 0.0)
    core.on_facts([a_node("a"), a_node("b")], 0.0)

    assert row(core).decode == 8.0


def test_a_node_that_comes_back_still_has_its_open_attempts() -> None:
    core = a_core(a_node("a"), a_node("b"))
    send(core, "x", "a")
    core.on_facts([a_node("b")], 0.0)
    core.on_facts([a_node("a"), a_node("b")], 0.0)

    assert row(core).in_flight == 1


def test_a_reload_adds_caps_and_removes() -> None:
    core = a_core(a_node("a"), a_node("b"))
    core.on_reload([NodeConfig("b", slots=1), NodeConfig("c")], 0.0)

    assert core.circuits(0.0).keys() == {"b", "c"}
    assert row(core, "b").slots == 1


def test_an_attempt_at_a_node_that_is_already_gone_is_counted_to_its_end() -> None:
    core = a_core(a_node("a"))
    send(core, "x", "z")

    assert core.busy("z") == 1
    assert ask(core, a_demand(model="m")).node == "a"

    core.on_finish("x", DONE, 0.0)

    assert core.busy("z") == 0


def test_the_budget_for_retries_is_spent_when_they_are_sent() -> None:
    core = a_core(a_node("a"))
    for turn in range(100):
        send(core, f"x{turn}", "a", attempts=1)

    assert not core.may_retry(a_demand(), "connect", 0.0)  # type: ignore[arg-type] # any word
