"""The router's own /metrics, rendered in a worker thread and kept for a second."""

import asyncio
import time

from dpl_router.metrics import RouterMetrics, form_of
from dpl_router.scheduling.core import SchedulerCore
from dpl_router.telemetry.names import Names

KEEP_SECONDS = 1.0


class MetricsPage:
    def __init__(self, metrics: RouterMetrics, core: SchedulerCore, names: Names) -> None:
        self._metrics = metrics
        self._core = core
        self._names = names
        self._kept: dict[str, tuple[float, str, bytes]] = {}
        self._lock = asyncio.Lock()

    async def render(self, accept: str) -> tuple[str, bytes]:
        """(content type, page)."""
        form = form_of(accept)
        async with self._lock:
            kept = self._kept.get(form)
            now = time.monotonic()
            if kept is None or now - kept[0] > KEEP_SECONDS:
                self._metrics.show_book(
                    self._in_flight(), self._core.circuits(now), self._core.queues()
                )
                content_type, page = await asyncio.to_thread(self._metrics.render, form)
                kept = self._kept[form] = (now, content_type, page)
        return kept[1], kept[2]

    def _in_flight(self) -> dict[tuple[str, str], int]:
        """By the nodes' own names, as the engines count: an alias must not be a second model."""
        counts: dict[tuple[str, str], int] = {}
        for (node, model), count in self._core.in_flight().items():
            pair = node, self._names.at(node, model).own
            counts[pair] = counts.get(pair, 0) + count
        return counts
