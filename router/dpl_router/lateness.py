"""How late the event loop wakes: all streams wait as long as it does."""

import asyncio
import time

from dpl_router.tallies import Buckets

EVERY = 0.25
"""Seconds between two looks: a loop that is held for longer is seen at least once."""


class Lateness:
    def __init__(self, late: Buckets) -> None:
        self._late = late

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            due = time.monotonic() + EVERY
            await asyncio.sleep(EVERY)
            self._late.observe(max(0.0, time.monotonic() - due))
