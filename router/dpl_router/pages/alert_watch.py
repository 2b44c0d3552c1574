"""Alertmanager's active alerts as last read: one call every few seconds, however many look."""

import asyncio
import time
from collections.abc import Sequence

from dpl_router.control import Control
from dpl_router.errors import Unavailable
from dpl_router.telemetry.alerts import Alert, active_alerts

EVERY_SECONDS = 5.0


class AlertWatch:
    def __init__(self, alertmanager: Control | None) -> None:
        self._alertmanager = alertmanager
        self.configured = alertmanager is not None
        self.alerts: Sequence[Alert] = ()
        """The last ones known; only as true as `read_at` is young."""
        self.read_at: float | None = None
        """Monotonic; None before the first answer."""
        self.problem: str | None = None
        """Why the last call brought nothing."""

    async def run(self) -> None:
        """Until cancelled; a task of the application's own group."""
        while True:
            if self.configured:
                await self.look()
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        try:
            self.alerts = await active_alerts(self._alertmanager)
        except Unavailable as error:
            self.problem = error.message
        else:
            self.problem, self.read_at = None, time.monotonic()
