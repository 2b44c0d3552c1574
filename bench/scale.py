"""A fleet of 1,000 simulated nodes: a real Prometheus with our rules, and the router's poll of it.

    python -m bench scale           some two minutes, the whole look
    make bench                      prints a shorter one after its table

What is looked at is what would go first: the load rules in their interval, the one poll in its
second, the number of series of the router's own page, and the router's loop while both go on.
"""

import asyncio
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import median, quantiles

import psutil

from bench.windows import busy
from dpl_router.control import MAX_ANSWER, NO_ANSWER, Answer, Control
from dpl_router.diagnostics.metrics_page import MetricsPage
from dpl_router.scheduling.live import Core
from dpl_router.scheduling.types import Config, NodeConfig
from dpl_router.server import settle_memory
from dpl_router.telemetry.names import Names
from dpl_router.telemetry.prometheus import POLL_SECONDS, PrometheusSource
from tests.fakes.fleet_nodes import Box, fleet
from tests.fakes.fleet_prometheus import Pace, running_fleet, running_prometheus
from tests.fakes.fleet_router import OPENMETRICS, seen_everything

NODES = 1_000
SEED = 1
PACE = Pace(scrape=10.0, rules=None)
"""As the catalogue has it from 200 nodes on."""
POLL_EVERY = 2.0
PAGE_EVERY = 5.0
GROUP = "dpl_load"
TICK = 0.002
MOST_WAIT = 90.0
"""Seconds until the first poll must have found nearly all nodes."""
WHOLE, SHORT, QUICK = 70.0, 40.0, 20.0
"""Seconds of looking, after the nodes are there."""


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    unit: str
    value: float
    at_most: float
    gates: bool = True
    """A miss fails the run."""

    @property
    def met(self) -> bool:
        return self.value <= self.at_most

    def line(self) -> str:
        verdict = "ok" if self.met else "MISS" if self.gates else "miss (told only)"
        name = f"{self.name}, {self.unit}".removesuffix(", ")
        return f"{name:51}{self.value:>12,.1f}{f'≤ {self.at_most:,.0f}':>12}  {verdict}"


@dataclass(slots=True)
class Seen:
    """Seconds, but for the counts."""

    groups: dict[str, float] = field(default_factory=dict)
    """Time of an evaluation of the load group -> how long it took."""
    missed: int = 0
    polls: list[float] = field(default_factory=list)
    """From the question to the last byte of the answer, while nothing else was done."""
    crowded: list[float] = field(default_factory=list)
    """The same, while the page was rendered."""
    reads: list[float] = field(default_factory=list)
    """From there to the facts."""
    lost_polls: int = 0
    nodes: int = 0
    """In the last poll."""
    pages: list[float] = field(default_factory=list)
    series: int = 0
    late: list[float] = field(default_factory=list)
    """How long the loop was kept from waking up in time, while the page was rendered."""
    late_else: list[float] = field(default_factory=list)
    head: int = 0
    """Series in Prometheus."""


class Timed(Control):
    """Keeps how long each answer took to come."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self.took: list[float] = []

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        seconds: float,
        tries: int = 1,
        most: int = MAX_ANSWER,
    ) -> Answer:
        began = time.monotonic()
        answer = await super().get(path, params, seconds=seconds, tries=tries, most=most)
        self.took.append(time.monotonic() - began)
        return answer


class RouterSide:
    """What a router with a thousand nodes does all the time, on one loop that is watched."""

    def __init__(self, boxes: Sequence[Box], prometheus: str) -> None:
        metrics = seen_everything(boxes)
        core = Core(Config(nodes=tuple(NodeConfig(box.name) for box in boxes), seed=SEED))
        self._page = MetricsPage(metrics, core, Names())
        self._control = Timed(prometheus)
        self._source = PrometheusSource(self._control, metrics.view)
        self._plain = Control(prometheus)
        self._rendering = False
        self.seen = Seen()

    async def until_all_are_there(self) -> None:
        """Raises: TimeoutError."""
        end = time.monotonic() + MOST_WAIT
        while self.seen.nodes < 0.99 * NODES:
            if time.monotonic() > end:
                told = f"{self.seen.nodes} of {NODES} nodes"
                raise TimeoutError(f"after {MOST_WAIT:g} s Prometheus had facts of {told}")
            await asyncio.sleep(POLL_EVERY)
            await self._poll()
        self.seen = Seen(nodes=self.seen.nodes)

    async def look(self, seconds: float) -> Seen:
        async with asyncio.timeout(seconds + 60), asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch())
            others = [
                group.create_task(self._every(POLL_EVERY, seconds, self._poll)),
                group.create_task(self._every(PAGE_EVERY, seconds, self._render, first=0.7)),
                group.create_task(self._every(POLL_EVERY, seconds, self._ask_prometheus)),
            ]
            await asyncio.gather(*others)
            watch.cancel()
        await self._control.close()
        await self._plain.close()
        return self.seen

    async def _every(
        self, period: float, seconds: float, do: Callable[[], Awaitable[None]], first: float = 0.0
    ) -> None:
        end = time.monotonic() + seconds
        await asyncio.sleep(first)
        while time.monotonic() < end:
            began = time.monotonic()
            await do()
            await asyncio.sleep(max(0.0, period - (time.monotonic() - began)))

    async def _poll(self) -> None:
        rendering, began = self._rendering, time.monotonic()
        try:
            found = await self._source.facts()
        except NO_ANSWER:
            self.seen.lost_polls += 1
            self.seen.polls.append(POLL_SECONDS)
            return
        crowded = rendering or self._rendering
        (self.seen.crowded if crowded else self.seen.polls).append(self._control.took[-1])
        self.seen.reads.append(time.monotonic() - began - self._control.took[-1])
        self.seen.nodes = len(found)

    async def _render(self) -> None:
        began = time.monotonic()
        self._rendering = True
        try:
            _, page = await self._page.render(OPENMETRICS)
        finally:
            self._rendering = False
        self.seen.pages.append(time.monotonic() - began)
        self.seen.series = page.count(b"\n") - page.count(b"\n# ") - 1  # the first is a comment

    async def _watch(self) -> None:
        """A tick that comes late was kept waiting, as a token would be.

        Only as long as this process itself was at work: the rest is other programs' doing.
        """
        while True:
            rendering, began, used = self._rendering, time.monotonic(), time.process_time()
            await asyncio.sleep(TICK)
            late = time.monotonic() - began - TICK
            late = min(late, time.process_time() - used)
            rendering = rendering or self._rendering
            (self.seen.late if rendering else self.seen.late_else).append(late)

    async def _ask_prometheus(self) -> None:
        page = (await self._plain.get("/metrics", seconds=10)).body.decode()
        group = rf"{{[^}}]*;{GROUP}\"}}"
        took = number(rf"prometheus_rule_group_last_duration_seconds{group}", page)
        at = number(rf"prometheus_rule_group_last_evaluation_timestamp_seconds{group}", page)
        if at > 0:  # never: not yet evaluated
            self.seen.groups[f"{at}"] = took
        self.seen.missed = int(
            number(rf"prometheus_rule_group_iterations_missed_total{group}", page)
        )
        self.seen.head = int(number("prometheus_tsdb_head_series", page))


def number(series: str, page: str) -> float:
    """0 where there is none."""
    found = re.search(rf"(?m)^{series} (\S+)$", page)
    return float(found[1]) if found else 0.0


def measured(seconds: float) -> list[str | Figure]:
    """Runs it all. Raises: TimeoutError, FileNotFoundError."""
    boxes = fleet(NODES, SEED)
    with (
        tempfile.TemporaryDirectory(prefix="dpl-scale-") as folder,
        running_fleet(NODES, SEED) as nodes,
        running_prometheus(Path(folder), nodes, PACE) as url,
    ):
        server = psutil.Process(listener_of(url))
        seen, used, strangers = asyncio.run(_looked(boxes, url, seconds, server))
        memory = server.memory_info().rss
    return [
        *figures(seen, boxes),
        f"{seen.head:,} series in Prometheus, which used {used:.0%} of a CPU and "
        f"{memory / 2**20:,.0f} MiB; {len(seen.reads)} polls of {seen.nodes:,} nodes, "
        f"{seen.lost_polls} lost; the machine was {strangers:.0%} busy",
    ]


async def _looked(
    boxes: Sequence[Box], url: str, seconds: float, server: psutil.Process
) -> tuple[Seen, float, float]:
    """What was seen; Prometheus's part of a CPU; how busy the whole machine was."""
    side = RouterSide(boxes, url)
    await side.until_all_are_there()
    settle_memory()  # as the router does; else the collector stops the loop for 60 ms
    before, machine, began = sum(server.cpu_times()[:2]), busy(), time.monotonic()
    seen = await side.look(seconds)
    used = (sum(server.cpu_times()[:2]) - before) / (time.monotonic() - began)
    spent, there_was = (now - then for now, then in zip(busy(), machine, strict=True))
    return seen, used, spent / there_was


def listener_of(url: str) -> int:
    """The child of ours that is Prometheus."""
    port = url.rpartition(":")[2]
    for child in psutil.Process().children(recursive=True):
        if any(f":{port}" in word for word in child.cmdline()):
            return child.pid
    raise FileNotFoundError("Prometheus has ended")


def figures(seen: Seen, boxes: Sequence[Box]) -> list[Figure]:
    """In milliseconds, and series."""
    pairs = sum(len(box.machine.installed) for box in boxes)
    late, late_else = (quantiles(lags, n=100)[-1] for lags in (seen.late, seen.late_else))
    most_late = max(*seen.late, *seen.late_else)
    crowded, reads = 1e3 * max(seen.crowded, default=0.0), 1e3 * median(seen.reads or [0.0])
    return [
        Figure("load rules, longest of an interval of 10 s", "ms", longest(seen), 5_000),
        Figure("load rules, intervals missed", "", seen.missed, 0),
        Figure("the poll, median", "ms", 1e3 * median(seen.polls), 200),
        Figure("the poll, p95", "ms", 1e3 * quantiles(seen.polls, n=20)[-1], 200),
        Figure("the poll while a page is rendered, longest", "ms", crowded, 500, gates=False),
        Figure("reading its answer, beside the loop, median", "ms", reads, 200),
        Figure("polls that took over a second", "", seen.lost_polls, 0),
        Figure("series on the router's page", "", seen.series, most_series(len(boxes), pairs)),
        Figure("rendering it, beside the loop, longest", "ms", 1e3 * max(seen.pages), 3_000),
        Figure("the loop wakes late while it renders, p99", "ms", 1e3 * late, 50),
        Figure("the loop wakes late otherwise, p99", "ms", 1e3 * late_else, 20),
        Figure("the loop wakes late, most", "ms", 1e3 * most_late, 100, gates=False),
    ]


def longest(seen: Seen) -> float:
    """Infinite where the rules were never evaluated."""
    return 1e3 * max(seen.groups.values(), default=inf)


def most_series(nodes: int, pairs: int) -> int:
    """As the rule DplScrapeTooBig computes it."""
    return 3_000 + 16 * nodes + 4 * pairs


def lines(told: Sequence[str | Figure]) -> list[str]:
    head = f"{f'{NODES:,} simulated nodes':51}{'':12}{'goal':>12}"
    return [head, *(each.line() if isinstance(each, Figure) else each for each in told)]


def missed(told: Sequence[str | Figure]) -> list[str]:
    return [each.name for each in told if isinstance(each, Figure) and each.gates and not each.met]
