"""A node that an alert wants out and that serves all the same, for want of others: as long as that
is so, and no longer."""

import asyncio
import re
from pathlib import Path

from tests.fakes.router import until
from tests.router.remediation.calls import Floor, alert, fleet


async def told(floor: Floor, *nodes: str) -> bool:
    """The page is kept for a second."""
    page = (await floor.client.get("/metrics")).text
    return set(re.findall(r'^dpl_router_cordon_withheld{node="(\w+)"} 1.0$', page, re.M)) == set(
        nodes
    )


async def test_it_is_told_by_node_until_its_alert_is_over(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        outcomes = await floor.webhook(alert("a"), alert("b"))
        await until(lambda: told(floor, "b"), seconds=10)
        other = await floor.router.metric('dpl_router_cordon_withheld{node="a"}')
        await floor.webhook(alert("b", status="resolved"))
        await until(lambda: told(floor), seconds=10)

    assert outcomes == [("a", "cordoned"), ("b", "floor")]
    assert other == 0


async def test_an_alert_of_which_nothing_is_heard_any_more_asks_for_nothing(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a", alert_repeat=0.7) as floor:
        await floor.webhook(alert("a"))
        await until(lambda: told(floor, "a"), seconds=10)
        await until(lambda: told(floor), seconds=10)


async def test_of_two_alerts_one_is_enough(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", alert_repeat=1.5) as floor:
        await floor.webhook(alert("a", mark="a1"), alert("a", mark="a2"))
        await floor.webhook(alert("a", mark="a1", status="resolved"))
        await asyncio.sleep(1.5)
        still = await told(floor, "a")
        await until(lambda: told(floor), seconds=10)

    assert still


async def test_an_operator_who_takes_it_out_ends_it_at_once(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as floor:
        await floor.webhook(alert("a"))
        await until(lambda: told(floor, "a"), seconds=10)
        await floor.client.post("/api/nodes/a/cordon")
        await until(lambda: told(floor), seconds=10)


async def test_it_ends_when_another_node_can_serve(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        await floor.client.post("/api/nodes/b/cordon")
        await floor.webhook(alert("a"))
        await until(lambda: told(floor, "a"), seconds=10)
        await floor.client.post("/api/nodes/b/uncordon")
        again = await floor.webhook(alert("a"))
        await until(lambda: told(floor), seconds=10)
        await floor.client.post("/api/nodes/a/uncordon")
        await asyncio.sleep(2.5)
        never = await told(floor)

    assert again == [("a", "cordoned")]
    assert never


async def test_who_is_given_back_as_the_last_is_told_before_its_alert_repeats(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        await floor.webhook(alert("a"))
        await floor.client.post("/api/nodes/b/cordon")

        await until(lambda: told(floor, "a"), seconds=10)
