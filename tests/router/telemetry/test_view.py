"""What the view makes of nodes about which nobody told it something."""

import pytest
from prometheus_client import CollectorRegistry

from dpl_router.inventory.types import Inventory, Node
from dpl_router.metrics import RouterMetrics
from dpl_router.telemetry.sample import NodeSample
from dpl_router.telemetry.view import FleetView


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
