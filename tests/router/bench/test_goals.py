"""The verdict of the benchmark: medians of ratios in the same round, and what is missed is said."""

from pathlib import Path

import pytest

from bench.goals import GOALS, Goal, Round, cpu_per_answer
from bench.report import broken, report
from bench.windows import FULL, Measured, Told, Window

AT_MOST_TWICE = Goal("CPU", "plain", "µs", cpu_per_answer, most=2.0)


def one(cpu: float, dropped: int = 0) -> Measured:
    told = Told(seconds=1.0, answers=100, events=100, dropped=dropped)
    return Measured(told, cpu, memory=50.0, others=0.1)


def run(router: float, nginx: float = 1.0, dropped: int = 0) -> Round:
    return {"nginx": one(nginx), "router": one(router, dropped), "direct": one(0.0)}


def test_each_round_is_compared_with_nginx_of_the_same_round() -> None:
    """The second round ran on a machine half as quick: that says nothing of the router."""
    rounds = [run(1.5), run(3.0, nginx=2.0)]

    assert AT_MOST_TWICE.ratio("router", rounds) == pytest.approx(1.5)
    assert AT_MOST_TWICE.spread(rounds) == pytest.approx(0.0)


@pytest.mark.parametrize(("figures", "met"), [([1.9, 2.0, 9.0], True), ([1.0, 2.1, 2.2], False)])
def test_the_median_of_the_rounds_decides(figures: list[float], met: bool) -> None:
    assert AT_MOST_TWICE.met([run(figure) for figure in figures]) is met


def test_every_goal_has_its_window() -> None:
    assert {goal.window for goal in GOALS} == {"idle", *(window.name for window in FULL)}


def test_the_report_names_what_was_missed_and_what_failed() -> None:
    rounds = {goal.window: [run(9.0, dropped=3)] for goal in GOALS}

    lines = report(rounds, ["nginx", "router"])

    [cpu] = [line for line in lines if line.startswith("CPU per request, µs")]
    assert cpu.endswith("≤ 4 ×  MISS")
    assert "router failed 3 answers in a round of plain" in broken(rounds)


def test_a_window_says_to_the_clients_what_they_are_to_do() -> None:
    window = Window("64 streams", 64, 2.0, events=128, interval_ms=20)

    command = " ".join(window.command(Path("load"), 80))

    assert command == "load stream 80 64 2.0 200 128 20"
