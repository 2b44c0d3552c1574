"""How fast a node is at a model: learned from the engine's own timings.

Before that the recorded past speed, before that a prior by the node's kind (scheduling.md 3).
"""

from dataclasses import dataclass
from typing import NamedTuple


class Prior(NamedTuple):
    prefill: float
    decode: float
    crowding: float
    """How much each further stream slows every one of them."""


PRIORS = {
    "gpu": Prior(2500.0, 70.0, 0.05),
    "mac": Prior(300.0, 30.0, 0.25),
    "cpu": Prior(60.0, 8.0, 0.5),
}
SLOWEST, FASTEST = 0.01, 1e6
"""Tokens per second: what no timing moves a speed beyond."""

TOKENS_MAX, SECONDS_MAX = 1e7, 86400.0
"""No single answer has more."""

FORGET = 0.97
"""What an observation leaves of those before it."""
HALF_LIFE = 600.0
"""Seconds after which what was learned counts half: a node that once was slow is tried again."""
PRIOR_SECONDS = 0.25
"""The prior weighs as much as so many seconds of real work."""
RECORDED_SECONDS = 2.0
"""Likewise a recorded past speed."""

PROMPT_MIN = 16
"""Shorter prompts measure the overhead."""
CACHE_HIT = 3.0
"""So many times the best that was shown: the prompt was cached (Ollama counts it as evaluated)."""

OUTPUT_PRIOR = 200.0
OUTPUT_WINDOW = 512
KEEP_ALIVE = 300.0
"""Seconds after its last use in which a model is believed to be still there."""
LOAD_MAX = 600.0
LOAD_NOTICED = 0.1
"""A shorter load is none: the model was there."""


def prior(kind: str) -> Prior:
    """An unknown kind is taken for the slowest."""
    return PRIORS.get(kind, PRIORS["cpu"])


def measured(tokens: float | None, seconds: float | None) -> tuple[float, float] | None:
    """The pair, where a speed can be made of it: not of None, zero, less, NaN or what no answer
    can be."""
    if tokens is None or seconds is None:
        return None
    if 0 < tokens <= TOKENS_MAX and 0 < seconds <= SECONDS_MAX:
        return float(tokens), float(seconds)
    return None


def clipped(speed: float) -> float:
    if SLOWEST <= speed <= FASTEST:
        return speed
    return min(max(speed, SLOWEST), FASTEST)


class Rate:
    """Tokens per second: the prior and what was seen, each weighed by its seconds."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0
        self._at = 0.0
        self.best = 0.0
        """The fastest shown of late; 0 = nothing yet."""

    def value(self, recorded: float | None, by_kind: float, now: float) -> float:
        """`recorded`: past speed from the facts, None where there is none."""
        if recorded is not None and recorded > 0:
            base, weight = clipped(recorded), RECORDED_SECONDS
        else:
            base, weight = by_kind, PRIOR_SECONDS
        if not self._seconds:
            return base
        kept = self._kept(now)
        return clipped((base * weight + self._tokens * kept) / (weight + self._seconds * kept))

    def _kept(self, now: float) -> float:
        age = now - self._at
        return float(0.5 ** (age / HALF_LIFE)) if age > 0 else 1.0

    def learn(self, tokens: float, seconds: float, now: float) -> None:
        """Only `measured` pairs."""
        speed = clipped(tokens / seconds)
        kept = self._kept(now) * FORGET
        self._tokens = self._tokens * kept + speed * seconds
        self._seconds = self._seconds * kept + seconds
        self._at = now
        self.best = max(speed, self.best * FORGET)

    def learn_uncached(self, tokens: float, seconds: float, now: float) -> None:
        """Leave out what only a cache can have done. What was shown first is believed, and so is
        what comes after a long time without any."""
        recent = now - self._at < HALF_LIFE
        if self.best and recent and tokens / seconds > CACHE_HIT * self.best:
            return
        self.learn(tokens, seconds, now)


@dataclass(slots=True)
class Output:
    """Mean length of an answer in tokens, over the last 512 or so."""

    mean: float = OUTPUT_PRIOR
    count: int = 4

    def learn(self, tokens: int) -> None:
        if not 0 < tokens <= TOKENS_MAX:
            return
        self.count = min(self.count + 1, OUTPUT_WINDOW)
        self.mean += (tokens - self.mean) / self.count
