"""What the core learns from answers: speeds, lengths, loads."""

from math import inf, nan

import pytest

from dpl_router.scheduling.live import Core
from dpl_router.scheduling.types import (
    Candidate,
    ModelFacts,
    Outcome,
    OutcomeKind,
)
from tests.router.scheduling.values import (
    DONE,
    LOADED,
    a_core,
    a_demand,
    a_node,
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


# speeds


def test_the_engines_timings_become_the_nodes_speeds() -> None:
    core = a_core(a_node("a"))
    answer(
        core,
        Outcome(
            OutcomeKind.DONE,
            prompt_evaluated=2000,
            prompt_seconds=2.0,
            eval_tokens=400,
            eval_seconds=10.0,
        ),
    )

    assert row(core).prefill == pytest.approx(1000, rel=0.15)
    assert row(core).decode == pytest.approx(40, rel=0.05)


def test_decode_speed_is_learned_as_of_a_stream_alone() -> None:
    """Else a node would look slow for having been busy."""
    core = a_core(a_node("a", kind="gpu"))
    fill(core, "a", 4)
    answer(core, Outcome(OutcomeKind.DONE, eval_tokens=1000, eval_seconds=100.0))

    assert row(core).decode == pytest.approx(10 * 1.2, rel=0.05)


def test_prompts_too_short_to_measure_teach_nothing() -> None:
    core = a_core(a_node("a"))
    answer(core, Outcome(OutcomeKind.DONE, prompt_evaluated=1, prompt_seconds=0.5))

    assert row(core).prefill == 60.0


def test_recorded_speeds_are_used_before_the_first_answer() -> None:
    core = a_core(a_node("a", models={"m": ModelFacts(loaded=True, prefill=800.0, decode=33.0)}))

    assert (row(core).prefill, row(core).decode) == (800.0, 33.0)


@pytest.mark.parametrize("value", [0, -1, nan, inf, 1e300])
def test_nonsense_timings_leave_the_speeds_alone(value: float) -> None:
    core = a_core(a_node("a"))
    answer(
        core,
        Outcome(
            OutcomeKind.DONE,
            tokens=-5,
            prompt_evaluated=value,  # type: ignore[arg-type] # what a node may send
            prompt_seconds=value,
            eval_tokens=10,
            eval_seconds=value,
            load_seconds=value,
        ),
    )

    assert (row(core).prefill, row(core).decode, row(core).load) == (60.0, 8.0, 0.0)


def test_what_clients_invent_is_not_learned() -> None:
    """A node that answers to any name must not fill our memory."""
    core = a_core(a_node("a"))
    for turn in range(300):
        send(core, f"x{turn}", "a", model=f"invented {turn}")
        core.on_finish(f"x{turn}", DONE, 0.0)

    assert core.snapshot(None, 0.0).views.keys() == {"m", ""}
    assert core.in_flight() == {}


def test_what_was_learned_survives_facts_that_miss_the_model_for_a_while() -> None:
    core = a_core(a_node("a"))
    answer(core, Outcome(OutcomeKind.DONE, eval_tokens=400, eval_seconds=10.0))
    core.on_facts([a_node("a", models={})], 1.0)
    core.on_facts([a_node("a")], 2.0)

    assert row(core).decode > 30


def test_of_very_many_models_only_the_listed_ones_are_remembered() -> None:
    core = a_core(a_node("a", *[f"m{turn}" for turn in range(150)]))
    core.snapshot(None, 0.0)
    send(core, "x", "a", model="m1")
    core.on_token("x", 1, 0.0)
    core.on_finish("x", Outcome(OutcomeKind.DONE, eval_tokens=400, eval_seconds=10.0), 0.0)
    core.on_facts([a_node("a", "m2")], 1.0)
    core.on_facts([a_node("a", "m1")], 2.0)

    assert row(core, model="m1").decode == 8.0


def test_the_length_of_answers_is_learned_by_model() -> None:
    core = a_core(a_node("a", "m", "long"))
    for _ in range(100):
        answer(core, Outcome(OutcomeKind.DONE, tokens=10))
    views = core.snapshot(None, 0.0).views

    assert views["m"].output < 50
    assert views["long"].output == 200.0


# loads


def cold(loaded: bool | None = False, **more: object) -> Core:
    return a_core(a_node("a", models={"m": ModelFacts(loaded=loaded, **more), "n": LOADED}))  # type: ignore[arg-type] # the fields by name


def test_a_model_that_is_not_there_costs_its_load() -> None:
    assert row(cold()).load == 5.0
    assert row(cold(memory=4 * 10**9)).load == 5.0
    assert row(cold(memory=9 * 10**9)).load == 10.0
    assert row(cold(loaded=None)).load == 5.0


def test_a_load_under_way_costs_only_its_rest_and_another_waits_for_it() -> None:
    models = {name: ModelFacts(loaded=False) for name in ("m", "n")} | {"there": LOADED}
    core = a_core(a_node("a", models=models))
    send(core, "x", "a", 10.0)
    send(core, "y", "a", 11.0)

    assert (row(core, now=11.0).load, row(core, now=11.0).load_from) == (0.0, 15.0)
    assert (row(core, model="n", now=11.0).load_from, row(core, model="n").load) == (15.0, 5.0)
    assert row(core, model="there", now=11.0).load_from == -inf

    send(core, "z", "a", 11.0, model="n")

    assert row(core, model="n", now=11.0).load_from == 20.0


def test_a_model_that_spoke_since_the_sample_is_there() -> None:
    core = cold()
    send(core, "x", "a", 10.0)
    core.on_token("x", 1, 12.0)

    assert (row(core, now=12.0).load, row(core, now=12.0).load_from) == (0.0, -inf)


def test_facts_newer_than_the_last_use_say_that_it_was_unloaded() -> None:
    core = cold()
    send(core, "x", "a", 10.0)
    core.on_token("x", 1, 12.0)
    core.on_finish("x", DONE, 13.0)
    core.on_facts([a_node("a", models={"m": ModelFacts(loaded=False)}, sampled_at=20.0)], 21.0)

    assert row(core, now=21.0).load == 5.0


def test_a_look_at_the_node_counts_from_when_it_was_looked_at() -> None:
    """Without an exporter there is no sample, and the node's own list is all there is."""
    core = cold()
    send(core, "x", "a", 10.0)
    core.on_token("x", 1, 12.0)
    core.on_finish("x", DONE, 13.0)
    for seen_at, load in ((11.0, 0.0), (20.0, 5.0)):
        models = {"m": ModelFacts(loaded=False, seen_at=seen_at)}
        core.on_facts([a_node("a", models=models, sampled_at=None)], 21.0)

        assert row(core, now=21.0).load == load


def test_without_facts_a_model_is_there_for_the_keep_alive_after_its_last_use() -> None:
    core = cold(loaded=None)
    send(core, "x", "a", 10.0)
    core.on_token("x", 1, 10.0)
    core.on_finish("x", DONE, 10.0)

    assert row(core, now=20.0).load == 0.0

    core.on_check("a", True, 400.0)

    assert row(core, now=400.0).load == 5.0


def test_the_time_that_a_load_took_is_remembered() -> None:
    core = cold()
    answer(core, Outcome(OutcomeKind.DONE, load_seconds=17.0))
    core.on_facts([a_node("a", models={"m": ModelFacts(loaded=False)}, sampled_at=20.0)], 21.0)

    assert row(core, now=21.0).load == 17.0
