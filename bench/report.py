"""The table that `make bench` prints."""

import platform
import sys
from collections.abc import Mapping, Sequence
from statistics import median

from bench.goals import GOALS, Goal, Round

Rounds = Mapping[str, Sequence[Round]]
"""By the window's name."""

REFERENCE = "nginx"
OURS = "router"


def report(rounds: Rounds, names: Sequence[str]) -> list[str]:
    """Lines; the router's figure last, with its ratio, how far the rounds lie apart, the goal."""
    head = f"{'':33}" + "".join(f"{name:>10}" for name in names)
    lines = [f"{head}{'× nginx':>10}{'rounds':>14}{'goal':>11}"]
    lines += [row(goal, rounds[goal.window], names) for goal in GOALS]
    lines += others_than_ours(rounds, names)
    return [*lines, "", *broken(rounds), noise(rounds), python()]


def python() -> str:
    """What ran the router: builds of one version differ by a tenth and more."""
    return f"the router ran on Python {platform.python_version()} of {sys.base_prefix}"


def row(goal: Goal, rounds: Sequence[Round], names: Sequence[str]) -> str:
    figures = "".join(f"{spelled(goal.figure(name, rounds)):>10}" for name in names)
    ratio = f"{goal.ratio(OURS, rounds):10.2f}" if goal.compared else f"{'':10}"
    low, high = goal.bounds(rounds)
    between = f"{low:.2f}–{high:.2f}" if goal.compared and len(rounds) > 1 else ""
    verdict = "ok" if goal.met(rounds) else "MISS" if goal.gates else "miss (told only)"
    name = f"{goal.name}, {goal.unit}".removesuffix(", ")
    return f"{name:33}{figures}{ratio}{between:>14}{goal.words():>11}  {verdict}"


def spelled(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 or figure == round(figure) else f"{figure:.1f}"


def others_than_ours(rounds: Rounds, names: Sequence[str]) -> list[str]:
    """The ratios of those beside nginx and us, for the reader's scale."""
    return [
        f"{name} × nginx: "
        + ", ".join(
            f"{goal.name} {goal.ratio(name, rounds[goal.window]):.2f}"
            for goal in GOALS
            if goal.compared
        )
        for name in names
        if name not in (REFERENCE, OURS)
    ]


def broken(rounds: Rounds) -> list[str]:
    """Answers that failed in any window: whoever drops work is quick."""
    return [
        f"{name} failed {measured.failed} answers in a round of {window}"
        for window, of_window in rounds.items()
        for one in of_window
        for name, measured in one.items()
        if measured.failed
    ]


def noise(rounds: Rounds) -> str:
    """How far this run is to be believed."""
    strangers = [
        measured.others
        for window, of_window in rounds.items()
        for one in of_window
        for measured in one.values()
        if window != "idle"
    ]
    return (
        f"noise: {apart(rounds)}; other programs used {median(strangers):.0%} of the machine, "
        f"at most {max(strangers):.0%}"
    )


def apart(rounds: Rounds) -> str:
    gating = [goal for goal in GOALS if goal.gates and goal.compared]
    if all(len(rounds[goal.window]) == 1 for goal in gating):
        return "one round, which tells little"
    spreads = {goal.name: goal.spread(rounds[goal.window]) for goal in gating}
    worst = max(spreads, key=lambda name: spreads[name])
    return (
        f"the ratios of the rounds lie {median(spreads.values()):.0%} apart, at worst "
        f"{spreads[worst]:.0%} ({worst})"
    )
