"""The dead man's switch: Alertmanager calls every few seconds, or the way to it is broken."""

import time

from litestar import Controller, post
from litestar.di import NamedDependency

from dpl_router.metrics import ViewMetrics
from dpl_router.security.guards import operator


class DeadMan:
    """Remembers the last call; pages and the metric tell its age."""

    def __init__(self, metrics: ViewMetrics) -> None:
        self._metrics = metrics
        self.last: float | None = None
        """Monotonic time of the last call; None before the first."""

    def heard(self) -> None:
        self.last = time.monotonic()
        self._metrics.watchdog_timestamp.set(time.time())


class RemediationController(Controller):
    path = "/alertmanager"

    @post("/heartbeat", guards=[operator], status_code=204)
    async def heartbeat(self, dead_man: NamedDependency[DeadMan]) -> None:
        """Prometheus, its rules, Alertmanager and the way from there to here all work."""
        dead_man.heard()
