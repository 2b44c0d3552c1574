"""What the pages send and render of a fleet when something in it changes."""

import asyncio
import time

from dpl_router.inventory.types import Inventory, Node
from dpl_router.pages.board import KEEP_SECONDS
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.sample import PeopleSample
from tests.router.pages.board_stage import Stage, an_alert


def later(stage: Stage, page: str = "overview") -> dict[str, str]:
    """What changed since the last look, once the board renders anew."""
    seen = stage.board.version
    time.sleep(KEEP_SECONDS + 0.05)
    return stage.since("chat" if page == "chat" else "overview", seen)


def test_only_the_row_that_changed_is_sent() -> None:
    stage = Stage().checked("tiny").sampled("promql", load=0.1)
    stage.since("overview", 0)
    stage.view.on_people({"b": PeopleSample(load=0.9)})

    assert list(later(stage)) == ["headline", "node-b"]


def test_only_the_row_that_changed_is_rendered() -> None:
    """An age alone, which grows with each look, is no change."""
    stage = Stage(names=("a", "b", "c")).checked("tiny").sampled("promql", load=0.1)
    stage.since("overview", 0)
    first = len(stage.rendered)
    stage.view.on_check("b", Check(False, (), "gone"))
    later(stage)

    assert first == 3
    assert stage.rendered[first:] == ["offline: gone"]


async def test_a_large_fleets_page_leaves_the_loop_to_others_meanwhile() -> None:
    """Every open stream waits for it, as long as a page is open anywhere."""
    names = [f"node-{number}" for number in range(400)]
    stage = Stage(names=names).checked("a", "b", "c").sampled("promql", load=0.1)
    turns = 0

    async def stream() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(stream())
    pieces = await asyncio.gather(*(stage.board.since("overview", 0) for _ in range(3)))
    other.cancel()

    assert len(stage.rendered) == len(names)
    assert pieces[0] == pieces[1] == pieces[2]
    assert turns > 4


def test_a_node_that_went_and_came_back_is_shown_again() -> None:
    stage = Stage(names=("a", "b")).checked("tiny")
    stage.since("overview", 0)
    stage.view.reload(Inventory((Node("b", "http://b"),)))
    gone = later(stage)
    stage.view.reload(Inventory((Node("a", "http://a"), Node("b", "http://b"))))
    back = later(stage)

    assert "node-a" not in gone["nodes"]
    assert "node-a" in back["nodes"]


def test_rows_that_change_places_are_sent_together() -> None:
    stage = Stage().checked("tiny")
    first = stage.since("overview", 0)["nodes"]
    stage.view.on_check("a", Check(False, (), "gone"))
    then = later(stage)

    assert first.index("node-a") < first.index("node-b")
    assert then["nodes"].index("node-b") < then["nodes"].index("node-a")
    assert "node-a" not in then


def test_nothing_is_sent_where_nothing_changed() -> None:
    stage = Stage().checked("tiny").sampled("promql", ago=300.0, load=0.1).alerting(an_alert())
    stage.dead_man.last = time.monotonic() - 5
    stage.since("overview", 0)

    assert later(stage) == {}


def test_all_viewers_share_one_rendering() -> None:
    stage = Stage().checked("tiny")
    first = stage.since("overview", 0)
    stage.view.on_check("a", Check(False, (), "gone"))

    assert stage.since("overview", 0) == first


def test_the_chat_gets_its_own_pieces_alone() -> None:
    stage = Stage().checked("tiny")
    pieces = stage.since("chat", 0)

    assert set(pieces) == {"banners", "models", "status"}
    assert '<option value="tiny">tiny — on a, b</option>' in pieces["models"]


def test_fifty_nodes_fit_the_page_weight() -> None:
    names = [f"node-{number}" for number in range(50)]
    stage = Stage(names=names).checked("a", "b", "c").sampled("promql", load=0.1, memory=0.2)

    assert len(stage.page("overview").encode()) < 100_000
