"""Reading an exporter directly costs the loop nothing and has an end."""

import pytest

from dpl_router.control import Control
from dpl_router.errors import Unavailable
from dpl_router.telemetry.direct import LARGEST_PAGE, scrape
from tests.fakes.wire import Peer, served


async def test_a_page_beyond_reason_is_not_read() -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"# a\n" * (LARGEST_PAGE // 4 + 1))

    async with served(endless) as url:
        control = Control(url)
        with pytest.raises(Unavailable, match="more than 512 KiB"):
            await scrape(control)
        await control.close()
