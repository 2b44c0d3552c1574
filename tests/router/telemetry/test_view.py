"""What the view makes of nodes about which nobody told it something."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog.testing
from prometheus_client import CollectorRegistry

from dpl_router.inventory.types import Inventory, Node, RouterOptions
from dpl_router.listing import Listed
from dpl_router.metrics import RouterMetrics
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.lists import MOST_MODELS
from dpl_router.telemetry.sample import Gpu, NodeSample, PeopleSample
from dpl_router.telemetry.view import FleetView


@pytest.mark.parametrize(
    ("node", "said", "slots"),
    [
        (Node("a", "http://h", "ollama"), None, 1),
        (Node("a", "http://h", "ollama"), 3, 3),
        (Node("a", "http://h", "ollama", slots=4), None, None),
        (Node("a", "http://h", "vllm", slots=32), 4, None),
        (Node("a", "http://h", "vllm", exporter="http://h:1", slots=32), 4, 4),
        (Node("a", "http://h", "llamacpp"), None, None),
        (Node("a", "http://h"), None, None),
    ],
)
def test_slots_of_which_no_exporter_tells_are_a_guess(
    node: Node, said: int | None, slots: int | None
) -> None:
    """1 for an Ollama, by its own default; else what Prometheus's rules take for granted. `slots`
    of nodes.yaml is the word of somebody who knows better; an exporter's it only caps."""
    view = FleetView(Inventory((node,)), RouterMetrics(CollectorRegistry()).view)
    if said is not None:
        view.on_samples("direct", {"a": NodeSample(sampled_at=1.0, slots=said)}, 1.0)

    assert view.facts(1.0)[0].slots == slots


def test_an_ollama_that_did_not_say_what_it_is_is_one_once_it_was_asked() -> None:
    view = FleetView(
        Inventory((Node("a", "http://h", "auto"),)), RouterMetrics(CollectorRegistry()).view
    )
    for dialect, slots in (("openai", None), ("ollama", 1)):
        view.on_check("a", Check(True, dialect=dialect))

        assert view.facts(1.0)[0].slots == slots


@pytest.mark.parametrize(
    ("node", "worth"),
    [
        (Node("a", "http://h", exporter="http://h:1"), False),
        (Node("a", "http://h", "vllm"), False),
        (Node("a", "http://h", "sglang", metrics={"engine": "http://h:1/metrics"}), False),
        (Node("a", "http://h", "sglang"), True),
        (Node("a", "http://h", "sglang", metrics={"node": "http://h:1/metrics"}), True),
    ],
)
def test_an_answer_without_a_word_of_those_who_tell_is_worth_nothing(
    node: Node, worth: bool
) -> None:
    """Then the exporters are asked themselves; where nobody tells anything, there is no use."""
    assert a_view(node).any_fresh({}, 1.0) is worth


def test_a_node_that_lists_too_many_models_keeps_some_and_it_is_said_once() -> None:
    """Each name costs at every poll: one broken node must not slow the others."""
    view = FleetView(Inventory((Node("a", "http://h"),)), RouterMetrics(CollectorRegistry()).view)
    names = tuple(Listed(f"m{number:05}") for number in reversed(range(MOST_MODELS + 5)))
    scraped = NodeSample(sampled_at=1.0)
    for number in range(MOST_MODELS + 5):
        scraped.model(f"s{number:05}").loaded = True

    with structlog.testing.capture_logs() as told:
        for _ in range(3):
            view.on_check("a", Check(True, names))
            view.on_samples("direct", {"a": scraped}, 1.0)

    known = view.facts(1.0)[0].models
    check, sample = view.check("a"), view.sample("a")
    assert check is not None
    assert sample is not None
    assert (len(check.models), len(sample.models)) == (MOST_MODELS, MOST_MODELS)
    assert len(known) == MOST_MODELS
    assert "m00000" in known
    assert [line["node"] for line in told if line["event"] == "too many models"] == ["a"]


def test_what_the_engine_does_not_count_is_not_known() -> None:
    """Ollama tells no running requests: then nothing is taken for the work of others."""
    view = FleetView(Inventory((Node("a", "http://h"),)), RouterMetrics(CollectorRegistry()).view)
    sample = NodeSample(sampled_at=1.0, up=True)
    sample.model("untold").loaded = True
    sample.model("told").loaded = True
    sample.model("told").running = 2
    view.on_samples("promql", {"a": sample}, 1.0)

    models = view.facts(1.0)[0].models

    assert (models["untold"].running, models["told"].running) == (None, 2)


def a_view(*nodes: Node, **router: Any) -> FleetView:
    inventory = Inventory(nodes or (Node("a", "http://h"),), RouterOptions(**router))
    return FleetView(inventory, RouterMetrics(CollectorRegistry()).view)


def sampled(view: FleetView, at: float, models: Mapping[str, bool], **more: Any) -> None:
    sample = NodeSample(sampled_at=at, up=True, **more)
    for name, loaded in models.items():
        sample.model(name).loaded = loaded
    view.on_samples("direct", {"a": sample}, at)


def test_what_the_node_said_itself_is_known_without_an_exporter() -> None:
    view = a_view()
    view.on_check("a", Check(True, (Listed("m", True, 4096, 10, "sha"), Listed("n")), at=5.0))

    models = view.facts(6.0)[0].models

    m, n = models["m"], models["n"]
    assert (m.loaded, m.seen_at, m.context, m.memory, m.identity) == (True, 5.0, 4096, 10, "sha")
    assert (n.loaded, n.seen_at, n.context, n.memory, n.identity) == (None, None, None, None, None)
    assert view.listed("a", "m").digest == "sha"


def test_a_model_of_which_no_node_says_when_it_came_came_when_it_was_first_seen() -> None:
    view = a_view()
    told = Listed("told", details={"modified_at": "2026-01-01T00:00:00Z"})
    view.on_check("a", Check(True, (Listed("m"), told), at=5.0))
    first = view.listed("a", "m").details["modified_at"]
    view.on_check("a", Check(True, (Listed("m"), told, Listed("new")), at=6.0))

    age = datetime.now(UTC) - datetime.fromisoformat(first)
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert view.listed("a", "m").details["modified_at"] == first
    assert view.listed("a", "told").details["modified_at"] == "2026-01-01T00:00:00Z"
    assert view.listed("a", "nobody").details == {}


@pytest.mark.parametrize(
    ("looked_at", "sampled_at", "loaded"), [(5.0, 4.0, True), (5.0, 6.0, False)]
)
def test_of_two_who_say_what_is_loaded_the_younger_is_believed(
    looked_at: float, sampled_at: float, loaded: bool
) -> None:
    view = a_view()
    view.on_check("a", Check(True, (Listed("m", loaded=True),), at=looked_at))
    sampled(view, sampled_at, {"m": False})

    assert view.facts(7.0)[0].models["m"].loaded is loaded


def test_a_node_that_answers_no_more_is_not_believed_to_have_anything_loaded() -> None:
    view = a_view()
    view.on_check("a", Check(True, (Listed("m", loaded=True),), at=5.0))
    view.on_check("a", Check(False, (), "gone", at=9.0))

    assert view.facts(9.0)[0].models["m"].loaded is None


def test_what_a_node_asks_elsewhere_is_no_capacity_unless_it_is_admitted() -> None:
    models = (Listed("here"), Listed("big-cloud", remote=True))
    for admitted, names in ((False, ["here"]), (True, ["big-cloud", "here"])):
        view = a_view(Node("a", "http://h", remote_models=admitted))
        sampled(view, 1.0, {"big-cloud": True})
        view.on_check("a", Check(True, models, at=2.0))

        assert view.model_names() == names


def test_requests_are_told_once_of_a_model_that_has_two_names() -> None:
    """Else the core would see twice as much of others' work."""
    view = a_view(Node("a", "http://h", aliases={"ours": "own.gguf"}))
    sample = NodeSample(sampled_at=1.0, up=True)
    sample.model("own.gguf").loaded = True
    sample.model("own.gguf").running = 2
    view.on_samples("promql", {"a": sample}, 1.0)

    models = view.facts(1.0)[0].models

    assert (models["own.gguf"].running, models["ours"].running) == (2, None)
    assert models["ours"].loaded is True


def test_an_alias_may_be_what_the_nodes_globs_name() -> None:
    node = Node("a", "http://h", models=("qwen3:*",), aliases={"qwen3:8b": "own.gguf"})
    view = a_view(node)
    view.on_check("a", Check(True, (Listed("own.gguf"), Listed("other")), at=1.0))

    assert view.model_names() == ["own.gguf", "qwen3:8b"]


@pytest.mark.parametrize(("size", "needs"), [(8, 8), (12, 12), (13, None)])
def test_what_is_larger_than_the_accelerator_is_split_so_its_need_is_unknown(
    size: int, needs: int | None
) -> None:
    """Ollama runs such a model with a part of it on the CPU: no reason to refuse it."""
    view = a_view()
    view.on_people({"a": PeopleSample(gpus={"0": Gpu(memory_total=12)})})
    view.on_check("a", Check(True, (Listed("m", size=size),), at=1.0))

    assert view.facts(1.0)[0].models["m"].memory == needs


def test_a_reload_of_nodes_yaml_changes_names_at_once() -> None:
    view = a_view()
    view.on_check("a", Check(True, (Listed("own"),), at=1.0))
    view.reload(
        Inventory(
            (Node("a", "http://h", aliases={"ours": "own"}),), RouterOptions(contexts={"own": 512})
        )
    )

    assert view.names.at("a", "ours") == ("own", 512)


def test_what_a_node_was_told_of_by_another_exporter_is_forgotten_when_that_changes() -> None:
    """Prometheus goes on telling of the old address until it has read the list anew."""
    old = Node("a", "http://h", exporter="http://h:1")
    other = Node("b", "http://h", exporter="http://h:3")
    view = FleetView(Inventory((old, other)), RouterMetrics(CollectorRegistry()).view)

    def tell(at: float, name: str) -> None:
        sample = NodeSample(sampled_at=at, up=True, memory_free=5)
        sample.model(name).loaded = True
        for node in ("a", "b"):
            view.on_samples("promql", {node: sample}, at)
            view.on_people({node: PeopleSample(memory=0.9)})

    began = time.monotonic()
    tell(began, "old")
    before = view.people("a")
    view.reload(Inventory((replace(old, exporter="http://h:2"), other)))
    tell(time.monotonic() + 5.0, "old")
    moved, stayed = view.facts_of(view.inventory.nodes, began + 5.0)
    unknown = view.people("a")
    tell(time.monotonic() + 20.0, "new")
    tell(time.monotonic() + 20.0, "new")
    arrived = view.facts(began + 20.0)[0]

    assert before is not None
    assert (dict(moved.models), moved.memory_free, moved.up, unknown) == ({}, None, None, None)
    assert stayed.up
    assert list(arrived.models) == ["new"]
    assert view.people("a") is not None


def ineligible(view: FleetView, at: float) -> None:
    view.on_samples("promql", {"a": NodeSample(sampled_at=at, up=True, eligible=False)}, at)


@pytest.mark.parametrize(("cordoned", "locked"), [({"a"}, set()), (set(), {"a"})])
def test_for_a_while_after_we_let_a_node_go_its_recorded_zero_may_be_our_own(
    cordoned: set[str], locked: set[str]
) -> None:
    """The rule looks back 15 s: the node would else be down that long once it was uncordoned."""
    view, nobody = a_view(), frozenset[str]()
    ineligible(view, 1.0)
    view.bar(frozenset(cordoned), frozenset(locked), 1.0)
    barred = view.facts(1.0)[0]
    view.bar(nobody, nobody, 10.0)
    ineligible(view, 12.0)
    soon = view.facts(12.0)[0]
    ineligible(view, 31.0)
    later = view.facts(31.0)[0]

    assert (barred.cordoned, barred.exclusive) == (bool(cordoned), bool(locked))
    assert (soon.cordoned, soon.exclusive, soon.eligible) == (False, False, None)
    assert later.eligible is False


def test_models_of_which_a_node_tells_weights_are_known_by_our_untagged_names() -> None:
    view = a_view()
    view.on_check("a", Check(True, (Listed("m:latest"), Listed("n"))))
    view.on_people({"a": PeopleSample(weights={"m:latest": "a" * 12})})

    assert view.models_with_weights() == {"m"}


def test_what_was_measured_before_our_unlock_is_not_taken_for_a_strangers_lock() -> None:
    view, nobody = a_view(), frozenset[str]()
    view.bar(nobody, frozenset("a"), 1.0)
    sampled(view, 2.0, {}, exclusive=True)
    view.bar(nobody, nobody, 3.0)
    before = view.facts(4.0)[0]
    sampled(view, 5.0, {}, exclusive=True)
    after = view.facts(5.0)[0]

    assert (before.exclusive, after.exclusive) == (False, True)


def test_what_nodes_yaml_cordons_stays_so_whoever_lifts_what() -> None:
    view = a_view(Node("a", "http://h", cordoned=True))
    view.bar(frozenset("a"), frozenset(), 1.0)
    view.bar(frozenset(), frozenset(), 2.0)
    ineligible(view, 3.0)

    facts = view.facts(3.0)[0]

    assert (facts.cordoned, facts.eligible) == (True, False)
