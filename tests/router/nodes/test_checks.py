"""The router's own checks go on whatever a reload takes from under them."""

from collections.abc import Sequence

from dpl_router.errors import NotFound
from dpl_router.listing import Listed
from dpl_router.nodes.health import HealthChecks


async def test_of_a_node_that_a_reload_took_nothing_is_told() -> None:
    async def gone(node: str) -> Sequence[Listed]:
        raise NotFound(node)

    told: list[object] = []
    checks = HealthChecks(gone, lambda *said: told.append(said), interval=1.0)
    await checks.once("a")

    assert told == []
