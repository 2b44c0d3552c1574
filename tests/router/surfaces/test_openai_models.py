"""OpenAI's list of models, of a fleet that has many."""

from typing import Any, cast

from prometheus_client import CollectorRegistry

from dpl_router.inventory.types import Inventory, Node
from dpl_router.listing import Listed
from dpl_router.metrics import RouterMetrics
from dpl_router.scheduling.types import ModelFacts
from dpl_router.surfaces.openai_models import ModelsController
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.view import FleetView


class Counting(FleetView):
    """Counts how often the whole fleet was merged."""

    merged = 0

    def models(self, now: float) -> dict[str, list[tuple[str, ModelFacts]]]:
        self.merged += 1
        return super().models(now)


async def test_the_fleet_is_merged_once_for_a_list_however_long_it_is() -> None:
    """Once for each name 500 models took seconds, of all requests' time."""
    nodes = tuple(Node(name, f"http://{name}") for name in ("a", "b"))
    view = Counting(Inventory(nodes), RouterMetrics(CollectorRegistry()).view)
    listed = tuple(Listed(f"m{at}", details={"modified_at": "2026-01-02"}) for at in range(50))
    for node in nodes:
        view.on_check(node.name, Check(True, listed))

    told = await ModelsController.list_models.fn(cast(Any, None), view)

    assert len(told["data"]) == 50
    assert {one["created"] for one in told["data"]} != {0}
    assert view.merged == 1
