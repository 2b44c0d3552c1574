"""The router's own checks go on whatever a reload takes from under them."""

from collections.abc import Sequence

from structlog.testing import capture_logs

from dpl_router.errors import DplError, NotFound
from dpl_router.listing import Listed
from dpl_router.nodes.health import HealthChecks


async def test_of_a_node_that_a_reload_took_nothing_is_told() -> None:
    async def gone(node: str) -> Sequence[Listed]:
        raise NotFound(node)

    told: list[object] = []
    checks = HealthChecks(gone, lambda *said: told.append(said), interval=1.0)
    await checks.once("a")

    assert told == []


async def test_an_odd_node_is_down_and_the_log_says_so_once_until_it_answers_well() -> None:
    answers = [False, False, True, False]

    async def odd(node: str) -> Sequence[Listed]:
        if not answers.pop(0):
            raise TypeError("'str' object is not a mapping")
        return [Listed("m")]

    told: list[tuple[str, Sequence[Listed] | None, str | None]] = []

    def tell(node: str, models: Sequence[Listed] | None, why: DplError | None) -> None:
        told.append((node, models, why.message if why else None))

    checks = HealthChecks(odd, tell, interval=1.0)
    logged = []
    for _ in range(4):
        with capture_logs() as logs:
            await checks.once("a")
        logged.append([(one["log_level"], one["node"]) for one in logs])

    down = ("a", None, "its model list could not be read (TypeError)")
    assert told == [down, down, ("a", [Listed("m")], None), down]
    assert logged == [[("error", "a")], [], [], [("error", "a")]]
