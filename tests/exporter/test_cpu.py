"""CPU time, which may not step back: to Prometheus that is a restart."""

from collections.abc import Iterator, Mapping

from dpl_exporter.collectors.cpu import Cpu, CpuCollector, Forward, read_cpu, read_each_cpu
from dpl_exporter.collectors.node_exporter import cpu_words
from tests.exporter.values import by, values_of


def told(*looks: Mapping[str, float]) -> Iterator[dict[str, float]]:
    readings = iter(looks)
    collector = CpuCollector(lambda: Cpu(next(readings), 1, 1))
    for _ in looks:
        yield by(values_of(collector.collect()), "dpl_node_cpu_seconds_total", "mode")


def test_a_mode_that_steps_back_a_little_stands_still_until_it_is_past_that_again() -> None:
    """Linux says so of iowait, proc(5): a busy node then looked idle for a minute."""
    looks = [{"user": 10.0, "iowait": waited} for waited in (500.0, 499.98, 499.99, 500.01)]

    assert [one["iowait"] for one in told(*looks)] == [500.0, 500.0, 500.0, 500.01]


def test_many_small_steps_back_are_not_one_large_one() -> None:
    looks = [{"iowait": waited} for waited in (500.0, 498.0, 496.0, 494.0)]

    assert [one["iowait"] for one in told(*looks)] == [500.0] * 4


def test_a_mode_that_falls_by_more_than_three_seconds_has_begun_anew() -> None:
    assert [one["idle"] for one in told({"idle": 500.0}, {"idle": 496.0}, {"idle": 497.0})] == [
        500.0,
        496.0,
        497.0,
    ]


def test_a_cpu_that_steps_back_stands_still_in_other_words_as_well() -> None:
    forward = Forward()
    looks = [[{"idle": 9.0}, {"idle": idle}] for idle in (5.0, 4.99)]

    pages = [values_of(cpu_words(Cpu({}, 2, 2, each), forward)) for each in looks]

    assert [by(page, "node_cpu_seconds_total", "cpu") for page in pages] == [
        {"0": 9.0, "1": 5.0},
        {"0": 9.0, "1": 5.0},
    ]


def test_the_sum_is_the_systems_own_whose_time_a_cpu_taken_away_does_not_leave() -> None:
    before, each, after = read_cpu(), read_each_cpu(), read_cpu()

    assert before.seconds["user"] <= each.seconds["user"] <= after.seconds["user"]
    assert len(each.each) == each.logical


def test_windows_has_interrupts_and_their_rest_in_system_and_they_are_not_counted_twice() -> None:
    times = {"user": 2.0, "system": 3.0, "idle": 5.0, "interrupt": 0.5, "dpc": 0.25}

    assert list(told(times)) == [times | {"system": 2.25}]
