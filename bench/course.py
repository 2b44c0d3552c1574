"""Who runs when: the subjects take turns in every window, and noisy windows are run again."""

import time
from collections.abc import Sequence

from bench.goals import GOALS, NOISY, Round
from bench.subjects import Subject
from bench.windows import Measured, Rig, Told, Window

MORE_ROUNDS = 2
"""At most so many for a noisy window."""
BUDGET = 200.0
"""Seconds after which nothing is repeated any more."""


class Course:
    def __init__(self, rig: Rig, subjects: Sequence[Subject], windows: Sequence[Window]) -> None:
        self._rig = rig
        self._subjects = subjects
        self._windows = windows
        self._began = time.monotonic()
        idle = {one.name: Measured(Told(), 0.0, one.memory(), 0.0) for one in subjects}
        self.rounds: dict[str, list[Round]] = {"idle": [idle]}
        """What was measured, by the window's name."""

    @property
    def names(self) -> list[str]:
        return [one.name for one in self._subjects]

    def run(self, rounds: int) -> None:
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds}", flush=True)
            for window in self._windows:
                self._round(window)

    def repeat_the_noisy(self) -> None:
        for window in self._windows:
            for _ in range(MORE_ROUNDS):
                if self.spread(window) < NOISY or time.monotonic() - self._began > BUDGET:
                    break
                print(f"once more, the rounds differ: {window.name}", flush=True)
                self._round(window)

    def spread(self, window: Window) -> float:
        goals = [
            goal for goal in GOALS if goal.window == window.name and goal.gates and goal.compared
        ]
        return max((goal.spread(self.rounds[window.name]) for goal in goals), default=0.0)

    def _round(self, window: Window) -> None:
        """Each subject in turn, in an order that changes; first tokens also without any."""
        done = self.rounds.setdefault(window.name, [])
        turns = list(self._subjects if len(done) % 2 == 0 else reversed(self._subjects))
        if window.name == "short streams":
            turns.append(self._rig.upstream)
        done.append({one.name: self._rig.measure(window, one) for one in turns})
