"""One collector that raises, is late, or comes back neither delays nor hides the others."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector, gauge
from dpl_exporter.errors import Failed, NoData
from dpl_exporter.guard import KEEP, Guard
from tests.exporter.values import Values, by, only, values_of

HANG = 30.0


class Clock:
    """Stands still until it is moved, and ticks on its own where a test needs real deadlines."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Scripted(Collector):
    """Does what `does` says now."""

    def __init__(self, name: str, does: Callable[[], Iterable[Metric]]) -> None:
        self._name = name
        self.does = does
        self.calls = 0

    @property
    def name(self) -> str:
        return self._name

    def collect(self) -> Iterable[Metric]:
        self.calls += 1
        return self.does()

    def late(self) -> Iterable[Metric]:
        return gauge("dpl_test_up", "Up.", 0.0) if self._name == "llm" else ()


def says(value: float, name: str = "dpl_test_value") -> Callable[[], Iterable[Metric]]:
    return lambda: gauge(name, "A value.", value)


def raises(error: Exception) -> Callable[[], Iterable[Metric]]:
    def does() -> Iterable[Metric]:
        raise error

    return does


def raises_in_the_middle() -> Iterator[Metric]:
    yield from gauge("dpl_test_value", "A value.", 7.0)
    raise ValueError("torn")


def make(*collectors: Collector, clock: Clock | None = None) -> Guard:
    clock = clock or Clock()
    return Guard(collectors, monotonic=clock, wall=lambda: 1000.0 + clock.ahead, deadline=0.4)


def success(values: Values) -> dict[str, float]:
    return by(values, "dpl_exporter_collector_success", "collector")


def last_success(values: Values) -> dict[str, float]:
    return by(values, "dpl_exporter_collector_last_success_timestamp_seconds", "collector")


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Set at the end, so that no hanging thread is left."""
    event = threading.Event()
    yield event
    event.set()


def hangs(until: threading.Event) -> Callable[[], Iterable[Metric]]:
    def does() -> Iterable[Metric]:
        until.wait(HANG)
        return gauge("dpl_test_value", "A value.", 99.0)

    return does


def test_what_collectors_say_is_on_the_page_with_their_health() -> None:
    values = values_of(make(Scripted("a", says(1.0)), Scripted("b", says(2.0, "dpl_b"))).page())

    assert only(values, "dpl_test_value") == 1.0
    assert only(values, "dpl_b") == 2.0
    assert success(values) == {"a": 1.0, "b": 1.0}
    assert last_success(values) == {"a": 1000.0, "b": 1000.0}
    assert set(by(values, "dpl_exporter_collector_duration_seconds", "collector")) == {"a", "b"}


@pytest.mark.parametrize("does", [raises(RuntimeError("driver")), raises_in_the_middle])
def test_one_that_raises_hides_nobody_and_says_so(does: Callable[[], Iterable[Metric]]) -> None:
    values = values_of(make(Scripted("bad", does), Scripted("good", says(2.0, "dpl_b"))).page())

    assert only(values, "dpl_b") == 2.0
    assert "dpl_test_value" not in values, "half a page of a collector is no page"
    assert success(values) == {"bad": 0.0, "good": 1.0}
    assert last_success(values) == {"good": 1000.0}, "what never was is not exported"


def test_one_that_fails_is_served_as_it_was_for_thirty_seconds_and_then_not(
    release: threading.Event,
) -> None:
    clock = Clock()
    for does in (raises(RuntimeError("gone")), hangs(release)):
        collector = Scripted("a", says(1.0))
        guard = make(collector, clock=clock)
        guard.page()
        wall = 1000.0 + clock.ahead
        collector.does = does

        clock.ahead += KEEP - 5.0
        old = values_of(guard.page())
        clock.ahead += 10.0
        none = values_of(guard.page())

        assert only(old, "dpl_test_value") == 1.0
        assert success(old) == {"a": 0.0}
        assert last_success(old) == {"a": wall}, "it stands still"
        assert "dpl_test_value" not in none
        assert success(none) == {"a": 0.0}
        assert last_success(none) == {"a": wall}


def test_one_that_is_late_delays_the_page_by_the_deadline_alone(release: threading.Event) -> None:
    guard = make(*(Scripted(f"late{i}", hangs(release)) for i in range(5)), Scripted("a", says(1)))
    started = time.monotonic()

    values = values_of(guard.page())

    assert time.monotonic() - started < HANG / 2
    assert only(values, "dpl_test_value") == 1.0
    assert success(values) == {f"late{i}": 0.0 for i in range(5)} | {"a": 1.0}


def test_one_that_is_still_busy_is_not_started_twice(release: threading.Event) -> None:
    collector = Scripted("a", hangs(release))
    guard = make(collector)

    for _ in range(3):
        guard.page()

    assert collector.calls == 1


def test_one_that_comes_back_is_served_again(release: threading.Event) -> None:
    collector = Scripted("a", hangs(release))
    guard = make(collector)
    first = values_of(guard.page())
    release.set()
    collector.does = says(3.0)

    for _ in range(100):
        values = values_of(guard.page())
        if success(values) == {"a": 1.0}:
            break
        time.sleep(0.02)

    assert success(first) == {"a": 0.0}
    assert only(values, "dpl_test_value") == 3.0
    assert last_success(values) == {"a": 1000.0}


def test_a_late_result_is_no_success(release: threading.Event) -> None:
    """It may be as old as the hang was long."""
    collector = Scripted("a", hangs(release))
    guard = make(collector)
    guard.page()
    release.set()
    for _ in range(100):
        if not any(one.name == "collector-a" for one in threading.enumerate()):
            break
        time.sleep(0.02)
    collector.does = raises(RuntimeError("gone"))

    values = values_of(guard.page())

    assert "dpl_test_value" not in values
    assert last_success(values) == {}


def test_pages_at_the_same_time_share_one_run(release: threading.Event) -> None:
    """Two scrapers must not make each other's page look like a failure."""
    begun = threading.Event()

    def slowly() -> Iterable[Metric]:
        begun.set()
        release.wait(HANG)
        return gauge("dpl_test_value", "A value.", 5.0)

    collector = Scripted("a", slowly)
    guard = Guard([collector], monotonic=time.monotonic, wall=time.time, deadline=10.0)
    pages: list[Values] = []
    threads = [
        threading.Thread(target=lambda: pages.append(values_of(guard.page()))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(HANG)
    time.sleep(0.05)
    release.set()
    for thread in threads:
        thread.join(HANG)

    assert [only(page, "dpl_test_value") for page in pages] == [5.0] * 4
    assert all(success(page) == {"a": 1.0} for page in pages)
    assert collector.calls == 1


def test_nothing_here_at_the_start_leaves_no_trace() -> None:
    guard = make(Scripted("gpu", raises(NoData("no driver"))), Scripted("a", says(1.0)))
    guard.start()

    values = values_of(guard.page())

    assert success(values) == {"a": 1.0}


def test_what_was_there_at_the_start_and_goes_is_a_failure() -> None:
    collector = Scripted("gpu", says(1.0))
    guard = make(collector)
    guard.start()
    collector.does = raises(NoData("no driver"))

    values = values_of(guard.page())

    assert success(values) == {"gpu": 0.0}
    assert only(values, "dpl_test_value") == 1.0


def test_one_that_hangs_at_the_start_is_kept(release: threading.Event) -> None:
    guard = make(Scripted("gpu", hangs(release)))
    guard.start()

    assert success(values_of(guard.page())) == {"gpu": 0.0}


def test_one_that_finds_nothing_only_after_the_first_page_leaves_no_trace_either(
    release: threading.Event,
) -> None:
    """A driver that takes its time to say no must not be a failure for ever."""
    rounds: list[float] = []

    def slowly_nothing() -> Iterable[Metric]:
        rounds.append(time.monotonic())
        release.wait(HANG)
        raise NoData("no driver")

    guard = make(Scripted("gpu", slowly_nothing), Scripted("a", says(1.0)))
    guard.start()
    first = success(values_of(guard.page()))
    release.set()
    for _ in range(200):
        if not any(one.name == "collector-gpu" for one in threading.enumerate()):
            break
        time.sleep(0.02)

    assert first == {"gpu": 0.0, "a": 1.0}
    assert success(values_of(guard.page())) == {"a": 1.0}
    assert len(rounds) == 1, "it is not asked again"


def test_a_machine_without_threads_to_spare_still_has_a_page() -> None:
    begun: list[str] = []

    def begin(thread: threading.Thread) -> None:
        begun.append(thread.name)
        if thread.name == "collector-poor" and len(begun) < 4:
            raise RuntimeError("can't start new thread")
        thread.start()

    collectors = [Scripted("poor", says(1.0)), Scripted("a", says(2.0, "dpl_b"))]
    guard = Guard(collectors, monotonic=Clock(), wall=lambda: 1000.0, begin=begin)

    poor = values_of(guard.page())
    guard.page()
    again = values_of(guard.page())

    assert success(poor) == {"poor": 0.0, "a": 1.0}
    assert only(poor, "dpl_b") == 2.0
    assert success(again) == {"poor": 1.0, "a": 1.0}


def test_a_failure_with_families_serves_those_now_and_the_last_ones_of_the_others() -> None:
    def both(up: float) -> list[Metric]:
        return [*gauge("dpl_test_up", "Up.", up), *gauge("dpl_test_value", "A value.", 4.0)]

    collector = Scripted("x", lambda: both(1.0))
    guard = make(collector)
    guard.page()
    collector.does = raises(Failed("down", list(gauge("dpl_test_up", "Up.", 0.0))))

    values = values_of(guard.page())

    assert only(values, "dpl_test_up") == 0.0
    assert only(values, "dpl_test_value") == 4.0
    assert success(values) == {"x": 0.0}


def test_what_a_late_collector_knows_all_the_same_replaces_its_last_word(
    release: threading.Event,
) -> None:
    """dpl_llm_up 1 of ten seconds ago would hide that the server hangs."""
    collector = Scripted("llm", says(1.0, "dpl_test_up"))
    guard = make(collector)
    guard.page()
    collector.does = hangs(release)

    assert only(values_of(guard.page()), "dpl_test_up") == 0.0


def test_a_failure_is_logged_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    collector = Scripted("a", raises(RuntimeError("driver\nlost")))
    guard = make(collector)
    for _ in range(3):
        guard.page()
    collector.does = says(1.0)
    guard.page()

    assert caplog.messages == [
        'collector failed collector=a reason="RuntimeError: driver lost"',
        "collector works again collector=a",
    ]
