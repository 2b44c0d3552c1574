"""One name is one model: nodes with other weights under it are left out of it."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from dpl_router.inventory.types import Inventory, Node
from dpl_router.listing import Listed
from dpl_router.metrics import RouterMetrics
from dpl_router.scheduling.core import make_core
from dpl_router.scheduling.types import Action, Config, Demand, NodeConfig, Rejection
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.identity import Identities, Told, told
from dpl_router.telemetry.sample import PeopleSample
from dpl_router.telemetry.view import FleetView

words = st.sampled_from([None, "w1", "w2", "w3"])
fleets = st.dictionaries(
    st.sampled_from([f"n{number}" for number in range(7)]),
    st.builds(Told, words, st.sampled_from([None, "Q4", "Q8"])),
)


def left_out(fleet: dict[str, Told], memory: Identities | None = None) -> frozenset[str]:
    return (memory or Identities()).odd({"m": fleet}, {}).get("m", frozenset())


@given(fleets)
def test_no_two_nodes_that_are_kept_differ(fleet: dict[str, Told]) -> None:
    kept = [said for node, said in fleet.items() if node not in left_out(fleet)]

    assert len({said.weights for said in kept} - {None}) <= 1
    assert len({said.quantisation for said in kept} - {None}) <= 1


@given(fleets)
def test_a_node_that_tells_nothing_is_never_left_out(fleet: dict[str, Told]) -> None:
    silent = {node for node, said in fleet.items() if not any(said)}

    assert not silent & left_out(fleet)


@given(fleets)
def test_somebody_is_always_kept(fleet: dict[str, Told]) -> None:
    assert not fleet or fleet.keys() - left_out(fleet)


@given(fleets)
def test_the_weights_of_the_most_are_kept(fleet: dict[str, Told]) -> None:
    votes = [said.weights for said in fleet.values() if said.weights is not None]
    odd = {node for node in left_out(fleet) if fleet[node].weights is not None}
    by_weights = {word for node in fleet.keys() - odd if (word := fleet[node].weights)}

    for kept in by_weights:
        assert all(votes.count(kept) >= votes.count(other) for other in votes)


@given(fleets, fleets)
def test_of_equals_those_stay_that_were_known_first(
    before: dict[str, Told], after: dict[str, Told]
) -> None:
    """Else a new pair of nodes could turn the fleet over by their names."""
    memory = Identities()
    first = Told("old", None)
    left_out({"x": first, "y": first, **before}, memory)

    votes = [said.weights for said in after.values() if said.weights is not None]
    most = max((votes.count(word) for word in votes), default=0)
    old = {f"old{number}": first for number in range(max(1, most))}

    assert not old.keys() & left_out({**after, **old}, memory)


def test_what_nobody_says_any_more_is_forgotten() -> None:
    memory = Identities()
    left_out({"a": Told("old"), "b": Told("new")}, memory)
    left_out({"b": Told("new")}, memory)

    assert left_out({"a": Told("old"), "b": Told("new")}, memory) == {"a"}


def test_words_that_say_nothing_are_none() -> None:
    assert told("", "unknown") is None
    assert told(None, None) is None
    assert told(7, "Q4_K_M") == Told(None, "Q4_K_M")


@given(fleets)
def test_pinned_weights_are_kept_however_few_have_them(fleet: dict[str, Told]) -> None:
    odd = Identities().odd({"m": fleet}, {"m": "w1"}).get("m", frozenset())

    known = {node: said.weights for node, said in fleet.items() if said.weights is not None}
    assert {node for node in known if known[node] != "w1"} <= odd
    assert {said.weights for node, said in fleet.items() if node not in odd} <= {None, "w1"}
    assert not fleet or odd < fleet.keys() or "w1" not in known.values()


# In the view, and in what is chosen.


def a_view(*names: str) -> FleetView:
    nodes = tuple(Node(name, f"http://{name}") for name in names)
    view = FleetView(Inventory(nodes), RouterMetrics(CollectorRegistry()).view)
    for name in names:
        view.on_check(name, Check(True, (Listed("m", True),), at=1.0))
    return view


def weigh(view: FleetView, **weights: str) -> None:
    view.on_people({node: PeopleSample(weights={"m": word}) for node, word in weights.items()})


def test_the_odd_one_is_never_chosen_and_told_by_its_word() -> None:
    view = a_view("a", "b", "c")
    weigh(view, a="w1", b="w2", c="w2")
    core = make_core(Config(tuple(NodeConfig(name) for name in "abc")))
    core.on_facts(view.facts(2.0), 2.0)

    decisions = []
    for number in range(20):
        demand = Demand(f"d{number}", "m", 10, 2.0)
        decisions.append(core.explain(demand, core.snapshot(demand, 2.0), 2.0))

    assert {decision.action for decision in decisions} == {Action.DISPATCH}
    assert {decision.node for decision in decisions} == {"b", "c"}
    assert {row.rejection for row in decisions[0].rows if row.node == "a"} == {Rejection.IDENTITY}


def test_the_odd_one_is_not_chosen_in_a_panic_either() -> None:
    """The answer would be another model's."""
    view = a_view("a", "b", "c")
    weigh(view, a="w1", b="w2", c="w2")
    for name in ("b", "c"):
        view.on_check(name, Check(False, problem="gone"))
    core = make_core(Config(tuple(NodeConfig(name) for name in "abc")))
    core.on_facts(view.facts(2.0), 2.0)
    for name in ("b", "c") * 2:
        core.on_check(name, False, 2.0)
    demand = Demand("d", "m", 10, 2.0)

    decision = core.decide(demand, core.snapshot(demand, 2.0), 2.0)

    assert decision.node in ("b", "c")


def test_it_is_judged_anew_when_the_weights_change() -> None:
    view = a_view("a", "b", "c")
    weigh(view, a="w1", b="w2", c="w2")
    before = dict(view.odd())
    weigh(view, a="w2")

    assert before == {"m": {"a"}}
    assert view.odd() == {}
    assert not any(model.differs for facts in view.facts(2.0) for model in facts.models.values())


def test_a_pin_in_nodes_yaml_holds_from_its_reload_on() -> None:
    """A single node, too: its name stands for what the operator wrote."""
    view = a_view("a", "b", "c")
    weigh(view, a="w1", b="w2", c="w2")
    before = dict(view.odd())
    view.reload(Inventory(view.inventory.nodes, weights={"m": "w1"}))
    pinned = dict(view.odd())
    view.reload(Inventory(view.inventory.nodes[1:2], weights={"m": "w1"}))

    assert before == {"m": {"a"}}
    assert pinned == {"m": {"b", "c"}}
    assert view.odd() == {"m": {"b"}}


def test_manifest_digests_alone_judge_nobody() -> None:
    """They differ between versions of Ollama for the same file."""
    view = a_view("a", "b")
    view.on_check("a", Check(True, (Listed("m", True, digest="sha-1"),), at=2.0))
    view.on_check("b", Check(True, (Listed("m", True, digest="sha-2"),), at=2.0))

    assert view.odd() == {}


def test_a_quantisation_that_ollama_lists_tells_models_apart() -> None:
    view = a_view("a", "b", "c")
    for name, word in {"a": "Q4_K_M", "b": "Q4_K_M", "c": "Q8_0"}.items():
        listed = Listed("m", True, digest="sha", details={"quantization_level": word})
        view.on_check(name, Check(True, (listed,), at=2.0))

    assert view.odd() == {"m": {"c"}}
