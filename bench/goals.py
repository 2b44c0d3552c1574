"""What the data path shall cost (design: performance, first release), and whether it does.

A ratio is to nginx in the same round; of several rounds the median counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.windows import Measured

Round = Mapping[str, Measured]
"""One window by the subject's name; `direct` is the upstream without anybody before it."""
Value = Callable[[str, Round], float]
"""(subject, round) -> the figure."""

NOISY = 0.25
"""Spread of the rounds, of their median, from which on a window is repeated."""


@dataclass(frozen=True, slots=True)
class Goal:
    name: str
    window: str
    unit: str
    value: Value
    most: float | None = None
    """At most so many times nginx's figure."""
    least: float | None = None
    at_most: float | None = None
    """At most this figure, whatever nginx's is."""
    gates: bool = True
    """A miss fails the run."""

    def ratio(self, subject: str, rounds: Sequence[Round]) -> float:
        return median(self._ratios(subject, rounds))

    def figure(self, subject: str, rounds: Sequence[Round]) -> float:
        return median(self.value(subject, one) for one in rounds)

    @property
    def compared(self) -> bool:
        """With nginx."""
        return self.at_most is None

    def spread(self, rounds: Sequence[Round]) -> float:
        """How far the ratios of the rounds lie apart, of their median: 0.1 = 10 %."""
        low, high = self.bounds(rounds)
        return (high - low) / max(self.ratio("router", rounds), 1e-9)

    def bounds(self, rounds: Sequence[Round]) -> tuple[float, float]:
        """The least and the most of the rounds' ratios."""
        ratios = self._ratios("router", rounds)
        return min(ratios), max(ratios)

    def met(self, rounds: Sequence[Round]) -> bool:
        if self.at_most is not None:
            return self.figure("router", rounds) <= self.at_most
        ratio = self.ratio("router", rounds)
        return ratio <= self.most if self.most is not None else ratio >= (self.least or 0.0)

    def words(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:g} {self.unit}" if self.at_most else "0"
        return f"≤ {self.most:g} ×" if self.most is not None else f"≥ {self.least:g} ×"

    def _ratios(self, subject: str, rounds: Sequence[Round]) -> list[float]:
        return [self.value(subject, one) / max(self.value("nginx", one), 1e-9) for one in rounds]


def cpu_per_answer(subject: str, one: Round) -> float:
    return one[subject].cpu / max(one[subject].told.answers, 1) * 1e6


def cpu_per_event(subject: str, one: Round) -> float:
    return one[subject].cpu / max(one[subject].told.events, 1) * 1e6


def answers_a_second(subject: str, one: Round) -> float:
    return one[subject].told.answers / one[subject].told.seconds


def events_a_second(subject: str, one: Round) -> float:
    return one[subject].told.events / one[subject].told.seconds


def added_p50(subject: str, one: Round) -> float:
    return max(1.0, one[subject].told.first_p50_us - one["direct"].told.first_p50_us)


def added_p99(subject: str, one: Round) -> float:
    return max(1.0, one[subject].told.first_p99_us - one["direct"].told.first_p99_us)


def memory(subject: str, one: Round) -> float:
    return one[subject].memory


def failed(subject: str, one: Round) -> float:
    return one[subject].failed


GOALS = (
    Goal("CPU per request", "plain", "µs", cpu_per_answer, most=4.0),
    Goal("requests at 64 connections", "plain", "1/s", answers_a_second, least=0.25),
    Goal("CPU per event, 64 streams", "64 streams", "µs", cpu_per_event, most=2.0),
    Goal("CPU per event, 1,000 streams", "1,000 streams", "µs", cpu_per_event, most=2.0),
    Goal("dropped, disordered of 1,000", "1,000 streams", "", failed, at_most=0),
    Goal("added first token, p50", "short streams", "µs", added_p50, most=3.0, gates=False),
    Goal("added first token, p99", "short streams", "µs", added_p99, most=4.0, gates=False),
    Goal("burst of tokens", "burst", "1/s", events_a_second, least=0.6),
    Goal("CPU per request, 64 KB prompt", "64 KB prompts", "µs", cpu_per_answer, most=4.0),
    Goal("memory, idle", "idle", "MB", memory, at_most=90),
    Goal("memory, 1,000 streams", "1,000 streams", "MB", memory, at_most=160),
)
