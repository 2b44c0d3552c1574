"""The end: what fails or hangs keeps nothing else from being closed."""

import asyncio
import time
from pathlib import Path

from litestar import Litestar
from litestar.datastructures import State

from dpl_router.control import Control
from dpl_router.lifespan import Lifespan
from dpl_router.nodes.health import HealthChecks
from dpl_router.telemetry.poll import Poller
from tests.fakes.wire import Peer, served
from tests.router.fitted import Fitted

DEAD = "http://127.0.0.1:9"


class Broken(Control):
    async def close(self) -> None:
        raise RuntimeError("closing fails")


class Hung(Control):
    async def close(self) -> None:
        await asyncio.sleep(60)


async def test_a_part_that_fails_and_one_that_hangs_cost_no_node_its_end(tmp_path: Path) -> None:
    hung_up = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.request()
        await peer.heard_hang_up()
        hung_up.set()

    async with served(silent) as url:
        it = Fitted(tmp_path, {"a": url})
        lifespan = Lifespan(
            settings=it.settings,
            state=State(),
            fittings=it.fittings,
            poller=Poller(it.view, it.metrics.view, None, it.fittings.exporters),
            checks=HealthChecks(it.fittings.list_models, it.fittings.on_check, interval=60.0),
            runners=(),
            controls=(Broken(DEAD), Hung(DEAD)),
        )
        async with lifespan(Litestar()):
            asking = asyncio.create_task(it.fittings.list_models("a"))
            await asyncio.sleep(0.1)
            ending = time.monotonic()
        took = time.monotonic() - ending
        await asyncio.wait_for(hung_up.wait(), 5)
        await asyncio.gather(asking, return_exceptions=True)

    assert took < 10
