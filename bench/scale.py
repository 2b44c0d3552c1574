"""A fleet of 1,000 simulated nodes: a real Prometheus with our rules, and a whole router before it.

    python -m bench scale           some two minutes, the whole look
    make bench                      prints a shorter one after its table

What is looked at is what would go first: the load rules in their interval, the router's one poll in
its second, the number of series of its page, and its loop, on which every stream waits: while it
sees the fleet for the first time, while it checks each node, while a page of it is open, and while
it renders its metrics.
"""

import asyncio
import logging
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import median, quantiles

import httpx
import psutil
import structlog
import uvloop

from bench.windows import busy
from dpl_router.metrics import RouterMetrics
from dpl_router.server import settle_memory
from dpl_router.tallies import Buckets
from tests.fakes.fleet_nodes import Box, fleet
from tests.fakes.fleet_prometheus import Pace, running_fleet, running_prometheus
from tests.fakes.fleet_router import OPENMETRICS, see_everything
from tests.fakes.router import Node, Running, running_router

NODES = 1_000
SEED = 1
PACE = Pace(scrape=10.0, rules=None)
"""As the catalogue has it from 200 nodes on."""
POLL_EVERY = 2.0
CHECK_EVERY = 5.0
PAGE_EVERY = 5.0
PEEK_EVERY = 0.2
GROUP = "dpl_load"
TICK = 0.002
MOST_WAIT = 90.0
"""Seconds until the first poll must have found nearly all nodes."""
FETCH = """
import sys, time, urllib.request
began = time.monotonic()
asked = urllib.request.Request(sys.argv[1], headers={"accept": sys.argv[2]})
page = urllib.request.urlopen(asked, timeout=20).read()
print(time.monotonic() - began, sum(not line.startswith(b"#") for line in page.splitlines()))
"""
"""How long a page takes, and its series."""
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
    """From the question to the last byte of the answer, of those that came."""
    lost_polls: int = 0
    nodes: int = 0
    """With fresh facts."""
    pages: list[float] = field(default_factory=list)
    """Until the router's metrics were there."""
    series: int = 0
    late_first: list[float] = field(default_factory=list)
    """How long the loop was kept from waking up in time, until all nodes were known."""
    late: list[float] = field(default_factory=list)
    """The same later, while metrics were rendered."""
    late_else: list[float] = field(default_factory=list)
    head: int = 0
    """Series in Prometheus."""


class Watcher:
    """Looks at a router on the loop that it runs on, and asks it things from other threads."""

    def __init__(self, router: Running, prometheus: str) -> None:
        self._router = router
        self._metrics: RouterMetrics = router.parts.metrics
        self._prometheus = prometheus
        self._rendering = False
        self.seen = Seen()

    async def until_all_are_there(self) -> None:
        """Raises: TimeoutError."""
        end = time.monotonic() + MOST_WAIT
        while (nodes := int(self._metrics.view.snapshot_nodes.value)) < 0.99 * NODES:
            if time.monotonic() > end:
                told = f"{nodes} of {NODES} nodes"
                raise TimeoutError(f"after {MOST_WAIT:g} s Prometheus had facts of {told}")
            await asyncio.sleep(POLL_EVERY)

    async def look(self, seconds: float) -> Seen:
        loop = asyncio.get_running_loop()
        with open_page(self._router.url) as page:
            async with asyncio.timeout(seconds + 60), asyncio.TaskGroup() as group:
                watch = group.create_task(watch_loop(self._lateness))
                peek = group.create_task(self._peek())
                end = loop.time() + seconds
                while loop.time() < end:
                    await asyncio.sleep(PAGE_EVERY - 1)
                    await asyncio.to_thread(self._ask_prometheus)
                    await asyncio.sleep(1)
                    self._rendering = True
                    await self._render()
                    self._rendering = False
                watch.cancel()
                peek.cancel()
        if page.broke is not None:
            raise page.broke
        self.seen.nodes = int(self._metrics.view.snapshot_nodes.value)
        return self.seen

    def _lateness(self, late: float) -> None:
        (self.seen.late if self._rendering else self.seen.late_else).append(late)

    async def _peek(self) -> None:
        """The polls one by one, as the router itself measures them."""
        facts, failures = self._metrics.view.query_seconds.labels("facts"), self._failures()
        count, total = told_of(facts)
        while True:
            await asyncio.sleep(PEEK_EVERY)
            now, so_far = told_of(facts)
            if now > count:
                self.seen.polls += [(so_far - total) / (now - count)] * (now - count)
            count, total = now, so_far
            self.seen.lost_polls = self._failures() - failures

    def _failures(self) -> int:
        return int(sum(count.value for count in self._metrics.view.query_failures.values()))

    async def _render(self) -> None:
        """By a program of its own: to read 3 MB here would hold the loop that is watched."""
        fetch = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", FETCH, f"{self._router.url}/metrics", OPENMETRICS),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await fetch.communicate()
        took, series = said.split()
        self.seen.pages.append(float(took))
        self.seen.series = int(series)

    def _ask_prometheus(self) -> None:
        page = httpx.get(f"{self._prometheus}/metrics", timeout=20).raise_for_status().text
        group = rf"{{[^}}]*;{GROUP}\"}}"
        took = number(rf"prometheus_rule_group_last_duration_seconds{group}", page)
        at = number(rf"prometheus_rule_group_last_evaluation_timestamp_seconds{group}", page)
        if at > 0:  # never: not yet evaluated
            self.seen.groups[f"{at}"] = took
        self.seen.missed = int(
            number(rf"prometheus_rule_group_iterations_missed_total{group}", page)
        )
        self.seen.head = int(number("prometheus_tsdb_head_series", page))


async def watch_loop(told: Callable[[float], None]) -> None:
    """A tick that comes late was kept waiting, as a token would be.

    Only as long as this process itself was at work: the rest is other programs' doing.
    """
    while True:
        began, used = time.monotonic(), time.process_time()
        await asyncio.sleep(TICK)
        late = time.monotonic() - began - TICK
        told(min(late, time.process_time() - used))


def told_of(tally: Buckets) -> tuple[int, float]:
    """How many were observed, and how much in all."""
    told = {sample.name: sample.value for sample in tally.samples()}
    return int(told["_count"]), told["_sum"]


class OpenPage(threading.Thread):
    """A browser that looks at the overview."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._client = httpx.Client(timeout=60)
        self._left = threading.Event()
        self.broke: httpx.HTTPError | None = None

    def run(self) -> None:
        try:
            with self._client.stream("GET", f"{self._url}/events") as answer:
                for _ in answer.raise_for_status().iter_raw():
                    if self._left.is_set():
                        return
        except httpx.HTTPError as error:
            self.broke = error

    def leave(self) -> None:
        """It hears something each few seconds, and goes then."""
        self._left.set()


@contextmanager
def open_page(url: str) -> Iterator[OpenPage]:
    page = OpenPage(url)
    page.start()
    try:
        yield page
    finally:
        page.leave()


def number(series: str, page: str) -> float:
    """0 where there is none."""
    found = re.search(rf"(?m)^{series} (\S+)$", page)
    return float(found[1]) if found else 0.0


def measured(seconds: float) -> list[str | Figure]:
    """Runs it all. Raises: TimeoutError, FileNotFoundError."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    boxes = fleet(NODES, SEED)
    with (
        tempfile.TemporaryDirectory(prefix="dpl-scale-") as folder,
        running_fleet(NODES, SEED) as nodes,
        running_prometheus(Path(folder), nodes, PACE) as url,
    ):
        server = psutil.Process(listener_of(url))
        seen, shares = uvloop.run(looked(Path(folder), boxes, nodes, url, seconds, server))
        memory = server.memory_info().rss
    return [
        *figures(seen, boxes),
        f"the router used {shares.own:.0%} of a CPU, its watcher and its viewer included; "
        f"Prometheus {shares.prometheus:.0%} and {memory / 2**20:,.0f} MiB, {seen.head:,} series; "
        f"{len(seen.polls)} polls of {seen.nodes:,} nodes; the machine was "
        f"{shares.machine:.0%} busy",
    ]


@dataclass(frozen=True, slots=True)
class Shares:
    """Of one CPU; `machine` of all."""

    own: float
    prometheus: float
    machine: float


async def looked(
    folder: Path,
    boxes: Sequence[Box],
    fleet_at: str,
    prometheus: str,
    seconds: float,
    server: psutil.Process,
) -> tuple[Seen, Shares]:
    """Raises: TimeoutError."""
    nodes: dict[str, Node] = {
        box.name: {"url": f"http://{fleet_at}/{box.name}", "kind": "openai"} for box in boxes
    }
    first: list[float] = []
    watch = asyncio.create_task(watch_loop(first.append))
    async with running_router(
        nodes,
        folder=folder,
        prometheus_url=prometheus,
        scrape_interval=PACE.scrape,
        poll_interval=POLL_EVERY,
        check_interval=CHECK_EVERY,
    ) as router:
        watcher = Watcher(router, prometheus)
        await watcher.until_all_are_there()
        watch.cancel()
        watcher.seen.late_first = first
        see_everything(router.parts.metrics, boxes)
        settle_memory()  # as the router does; else the collector stops the loop for 60 ms
        theirs, own, machine = sum(server.cpu_times()[:2]), time.process_time(), busy()
        began = time.monotonic()
        seen = await watcher.look(seconds)
        took = time.monotonic() - began
        spent, there_was = (now - then for now, then in zip(busy(), machine, strict=True))
        return seen, Shares(
            (time.process_time() - own) / took,
            (sum(server.cpu_times()[:2]) - theirs) / took,
            spent / there_was,
        )


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
    polls = seen.polls or [inf]
    late, late_else = (quantiles(lags, n=100)[-1] for lags in (seen.late, seen.late_else))
    return [
        Figure("load rules, longest of an interval of 10 s", "ms", longest(seen), 5_000),
        Figure("load rules, intervals missed", "", seen.missed, 0),
        Figure("the poll, median", "ms", 1e3 * median(polls), 200),
        Figure("the poll, p95", "ms", 1e3 * quantiles([*polls, polls[0]], n=20)[-1], 200),
        Figure("polls that took over a second", "", seen.lost_polls, 0),
        Figure("series on the router's page", "", seen.series, most_series(len(boxes), pairs)),
        Figure("that page over HTTP, longest", "ms", 1e3 * max(seen.pages), 3_000),
        Figure("the loop wakes late while it renders, p99", "ms", 1e3 * late, 50),
        Figure("the loop wakes late otherwise, p99", "ms", 1e3 * late_else, 20),
        Figure("the loop wakes late, most", "ms", most(seen.late + seen.late_else), 100, False),
        Figure("the same while it first sees the fleet", "ms", most(seen.late_first), 250, False),
    ]


def most(lags: Sequence[float]) -> float:
    return 1e3 * max(lags, default=0.0)


def longest(seen: Seen) -> float:
    """Infinite where the rules were never evaluated."""
    return 1e3 * max(seen.groups.values(), default=inf)


def most_series(nodes: int, pairs: int) -> int:
    """As the rule DplScrapeTooBig computes it."""
    return 3_000 + 18 * nodes + 4 * pairs


def lines(told: Sequence[str | Figure]) -> list[str]:
    head = f"{f'{NODES:,} simulated nodes':51}{'':12}{'goal':>12}"
    return [head, *(each.line() if isinstance(each, Figure) else each for each in told)]


def missed(told: Sequence[str | Figure]) -> list[str]:
    return [each.name for each in told if isinstance(each, Figure) and each.gates and not each.met]
