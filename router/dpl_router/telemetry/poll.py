"""One poll per interval: Prometheus if it answers, else the exporters themselves, else nothing.

`promql` -> `direct` -> `blind`; each seen in `dpl_router_scheduling_mode`, none a reason to
refuse a request.
"""

import asyncio
import time
from collections.abc import Mapping

from dpl_router.control import NO_ANSWER, Control
from dpl_router.metrics import ViewMetrics
from dpl_router.telemetry.direct import scrape
from dpl_router.telemetry.prometheus import PrometheusSource
from dpl_router.telemetry.sample import NodeSample, PeopleSample
from dpl_router.telemetry.view import FleetView


class Poller:
    """Fills the view. `exporters`: node name -> its exporter; changed in place by a reload."""

    def __init__(
        self,
        view: FleetView,
        metrics: ViewMetrics,
        prometheus: PrometheusSource | None,
        exporters: Mapping[str, Control],
    ) -> None:
        self._view = view
        self._metrics = metrics
        self._prometheus = prometheus
        self._exporters = exporters

    async def facts(self) -> None:
        """One poll: at most 1 s for Prometheus and 0.5 s for the exporters side by side."""
        samples = await self._recorded()
        if samples is not None:
            self._view.on_samples("promql", samples, time.monotonic())
            return
        readings = await self._scraped()
        self._view.on_people({node: people for node, (_, people) in readings.items()})
        self._view.on_samples(
            "direct" if readings else "blind",
            {node: sample for node, (sample, _) in readings.items()},
            time.monotonic(),
        )

    async def people(self) -> None:
        """What pages show; while Prometheus does not answer, `facts` fills it as well."""
        if self._prometheus is None or self._view.mode != "promql":
            return
        try:
            self._view.on_people(await self._prometheus.view())
        except NO_ANSWER:
            return

    async def _recorded(self) -> dict[str, NodeSample] | None:
        if self._prometheus is None:
            return None
        try:
            samples = await self._prometheus.facts()
        except NO_ANSWER:
            return None
        if self._view.any_fresh(samples, time.monotonic()):
            return samples
        self._metrics.query_failures["empty"].inc()
        return None

    async def _scraped(self) -> dict[str, tuple[NodeSample, PeopleSample]]:
        async def one(name: str, exporter: Control) -> None:
            try:
                readings[name] = await scrape(exporter)
            except NO_ANSWER:
                return

        readings: dict[str, tuple[NodeSample, PeopleSample]] = {}
        async with asyncio.TaskGroup() as group:
            for name, exporter in self._exporters.items():
                group.create_task(one(name, exporter))
        return readings
