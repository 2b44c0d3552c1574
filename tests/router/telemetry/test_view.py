"""What the view makes of nodes about which nobody told it something."""

import pytest
import structlog.testing
from prometheus_client import CollectorRegistry

from dpl_router.inventory.types import Inventory, Node
from dpl_router.metrics import RouterMetrics
from dpl_router.telemetry.sample import NodeSample
from dpl_router.telemetry.view import MOST_MODELS, Check, FleetView


@pytest.mark.parametrize(
    ("node", "said", "slots"),
    [
        (Node("a", "http://h", "ollama"), None, 1),
        (Node("a", "http://h", "ollama"), 3, 3),
        (Node("a", "http://h", "ollama", slots=4), None, None),
        (Node("a", "http://h", "llamacpp"), None, None),
        (Node("a", "http://h"), None, None),
    ],
)
def test_an_ollama_of_which_no_exporter_tells_has_one_slot(
    node: Node, said: int | None, slots: int | None
) -> None:
    """Its own default; `slots` of nodes.yaml is the word of somebody who knows better."""
    view = FleetView(Inventory((node,)), RouterMetrics(CollectorRegistry()).view)
    if said is not None:
        view.on_samples("direct", {"a": NodeSample(sampled_at=1.0, slots=said)}, 1.0)

    assert view.facts(1.0)[0].slots == slots


def test_a_node_that_lists_too_many_models_keeps_some_and_it_is_said_once() -> None:
    """Each name costs at every poll: one broken node must not slow the others."""
    view = FleetView(Inventory((Node("a", "http://h"),)), RouterMetrics(CollectorRegistry()).view)
    names = tuple(f"m{number:05}" for number in reversed(range(MOST_MODELS + 5)))
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
