"""Runs collectors side by side; none can hide or break another, nor hold up the page for long.

Each collector has a thread of its own while it runs and `deadline` seconds. One that is late or
fails serves its last families again, for at most `KEEP` seconds, and tells so: success 0 and a
last success that stands still. One that is still busy is not started twice: a second page waits
for the same run. One that has never worked and raises NoData is not there at all.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from dpl_exporter.collectors.base import Collector
from dpl_exporter.errors import Failed, NoData
from dpl_exporter.logs import quoted

DEADLINE = 0.4
KEEP = 30.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Run:
    """One call of `collect`; `families` are whole once `done` is set."""

    started: float
    done: threading.Event = field(default_factory=threading.Event)
    families: Sequence[Metric] = ()
    failure: Exception | None = None
    took: float = 0.0


@dataclass(slots=True, eq=False)
class Watched:
    """A collector and what is remembered of it. Times: monotonic, `last_success` wall clock."""

    collector: Collector
    run: Run | None = None
    last: Sequence[Metric] = ()
    last_at: float = float("-inf")
    last_success: float | None = None
    said: str = ""
    """The failure that was logged, so that it is logged once."""

    def is_empty(self) -> bool:
        """It has nothing to collect here, and never had."""
        if self.run is None or not self.run.done.is_set():
            return False
        return isinstance(self.run.failure, NoData) and self.last_success is None


@dataclass(frozen=True, slots=True)
class Health:
    name: str
    success: bool
    seconds: float
    last_success: float | None


class Guard:
    """`page()` is safe from many threads and takes at most the deadline and a little."""

    def __init__(
        self,
        collectors: Iterable[Collector],
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        deadline: float = DEADLINE,
        begin: Callable[[threading.Thread], None] = threading.Thread.start,
    ) -> None:
        self._watched = [Watched(collector) for collector in collectors]
        self._now = monotonic
        self._wall = wall
        self._deadline = deadline
        self._begin = begin
        self._lock = threading.Lock()

    def start(self) -> None:
        """Run all once; those that have nothing here are gone for good."""
        self._run_all()

    def page(self) -> list[Metric]:
        """The families of all collectors, then their health."""
        families: list[Metric] = []
        health = []
        for watched, run in self._run_all():
            shown, fine = self._outcome(watched, run)
            families.extend(shown)
            seconds = run.took if run.done.is_set() else self._now() - run.started
            name = watched.collector.name
            health.append(Health(name, fine, seconds, watched.last_success))
        return families + health_families(health)

    def _run_all(self) -> list[tuple[Watched, Run]]:
        with self._lock:
            self._drop_empty()  # also one that said so after its page had gone
            runs = [(watched, self._run(watched)) for watched in self._watched]
        for _, run in runs:
            run.done.wait(max(0.0, run.started + self._deadline - self._now()))
        with self._lock:
            self._drop_empty()
            return [(watched, run) for watched, run in runs if watched in self._watched]

    def _drop_empty(self) -> None:
        for watched in [one for one in self._watched if one.is_empty()]:
            self._watched.remove(watched)
            log.info("nothing to collect collector=%s", watched.collector.name)

    def _run(self, watched: Watched) -> Run:
        """The run in progress, else a new one."""
        if watched.run is not None and not watched.run.done.is_set():
            return watched.run
        watched.run = run = Run(self._now())
        name = f"collector-{watched.collector.name}"
        try:
            self._begin(
                threading.Thread(target=self._work, args=(watched, run), name=name, daemon=True)
            )
        except RuntimeError as error:  # the machine has no thread left; the next page asks again
            run.failure = error
            run.done.set()
        return run

    def _work(self, watched: Watched, run: Run) -> None:
        families: Sequence[Metric] = ()
        try:
            families = tuple(watched.collector.collect())
        except Exception as error:  # noqa: BLE001 - whatever a driver throws must not end the page
            run.failure = error
        run.took = self._now() - run.started
        run.families = families
        if run.failure is None and run.took <= self._deadline:
            with self._lock:
                watched.last, watched.last_at = families, run.started
                watched.last_success = self._wall()
        run.done.set()

    def _outcome(self, watched: Watched, run: Run) -> tuple[Sequence[Metric], bool]:
        """What to serve of this collector now, and whether it worked."""
        on_time = run.done.is_set() and run.took <= self._deadline
        if on_time and run.failure is None:
            self._say(watched, "")
            return run.families, True
        if on_time and isinstance(run.failure, Failed):
            now: Sequence[Metric] = run.failure.families
        else:
            now = tuple(watched.collector.late())
        self._say(watched, _reason(run.failure) if on_time else "late")
        with self._lock:
            fresh_enough = self._now() - watched.last_at <= KEEP
            old = watched.last if fresh_enough else ()
        told = {family.name for family in now}
        return [*now, *(family for family in old if family.name not in told)], False

    def _say(self, watched: Watched, failure: str) -> None:
        with self._lock:
            said, watched.said = watched.said, failure
        if failure and failure != said:
            log.warning(
                "collector failed collector=%s reason=%s", watched.collector.name, quoted(failure)
            )
        elif said and not failure:
            log.info("collector works again collector=%s", watched.collector.name)


def health_families(health: Iterable[Health]) -> list[Metric]:
    """Health of every collector that has something to collect."""
    success = GaugeMetricFamily(
        "dpl_exporter_collector_success",
        "1 where the collector worked for this page.",
        labels=["collector"],
    )
    duration = GaugeMetricFamily(
        "dpl_exporter_collector_duration_seconds",
        "How long the collector took.",
        labels=["collector"],
    )
    last = GaugeMetricFamily(
        "dpl_exporter_collector_last_success_timestamp_seconds",
        "When the collector last worked; absent before.",
        labels=["collector"],
    )
    for one in health:
        success.add_metric([one.name], float(one.success))
        duration.add_metric([one.name], one.seconds)
        if one.last_success is not None:
            last.add_metric([one.name], one.last_success)
    return [success, duration, last]


def _reason(failure: Exception | None) -> str:
    text = " ".join(str(failure).split())[:200]
    return text if isinstance(failure, Failed) else f"{type(failure).__name__}: {text}"
