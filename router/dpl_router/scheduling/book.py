"""The router's exact count: what it has sent and not yet seen the end of, and what others must
have sent. The only count there is: leases and metrics read it."""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Mapping
from math import exp, inf

HISTORY = 1024
GRAIN = 0.05
"""Seconds: changes closer than this share one entry of the history."""
OTHERS_FADE = 4.0
"""Seconds in which what was seen of others fades to its long mean."""
OTHERS_MEMORY = 60.0
"""Seconds over which the long mean of others is taken."""
LEASE_NEWS = 0.6
"""A lease answer above our view by more than this is news."""
REST = 4
"""An answer longer than expected is taken to need a quarter of the expected length more."""


class Attempt:
    """One request at one node."""

    def __init__(
        self, node: str, model: str, prompt: int, expected: int, epoch: int, crowd: float
    ) -> None:
        """`expected`: tokens of the answer, as believed now. `epoch`: of the node's health.
        `crowd`: requests at the node, this one included."""
        self.node = node
        self.model = model
        self.prompt = prompt
        self.expected = self.rest = expected
        self.epoch = epoch
        self.crowd = crowd
        self.tokens = 0
        """So far; 0 = not one."""


class Tally:
    """One node's part of the book. Counts are whole numbers, so they come back to zero."""

    def __init__(self) -> None:
        self.count = 0
        self.pending = 0
        """Prompt tokens without a first token."""
        self.rest = 0
        """Tokens that our requests there are still expected to make."""
        self._history: deque[tuple[float, int]] = deque([(-inf, 0)], HISTORY)
        self._noted = -inf
        """When the last entry of the history was made."""

    def add(self, attempt: Attempt, now: float) -> None:
        self.count += 1
        self.pending += attempt.prompt
        self.rest += attempt.rest
        self._note(now)

    def heard(self, attempt: Attempt, tokens: int) -> None:
        """`tokens`: the total so far; a lower one than before is old news."""
        if tokens <= attempt.tokens:
            return
        if not attempt.tokens:
            self.pending -= attempt.prompt
        attempt.tokens = tokens
        rest = max(attempt.expected - tokens, -(-attempt.expected // REST))
        self.rest += rest - attempt.rest
        attempt.rest = rest

    def remove(self, attempt: Attempt, now: float) -> None:
        self.count -= 1
        self.rest -= attempt.rest
        if not attempt.tokens:
            self.pending -= attempt.prompt
        self._note(now)

    def _note(self, now: float) -> None:
        if now - self._noted < GRAIN:
            self._history[-1] = (self._noted, self.count)
        else:
            self._noted = now
            self._history.append((now, self.count))

    def at(self, time: float) -> int:
        """How many of ours were there then, as far back as the history goes."""
        place = bisect_right(self._history, time, key=_time)
        return self._history[max(0, place - 1)][1]


def _time(entry: tuple[float, int]) -> float:
    return entry[0]


def faded(value: float, mean: float, at: float, now: float) -> float:
    """A clock that jumps back makes nothing newer than new."""
    return mean + (value - mean) * exp(-max(0.0, now - at) / OTHERS_FADE)


class Others:
    """Requests at a node that are not ours: seen now and then, fading to their long mean."""

    def __init__(self) -> None:
        self.value = 0.0
        self.mean = 0.0
        self.at = -inf
        self._sampled = -inf

    def now(self, now: float) -> float:
        if self.value == self.mean:
            return self.value
        return faded(self.value, self.mean, self.at, now)

    def sampled(self, total: float, own: int, at: float) -> None:
        """`total` requests at the node at `at`, of which `own` were ours. One sample counts once,
        however often it is read."""
        if at <= self._sampled:
            return
        seen = max(0.0, total - own)
        weight = 0.0 if self._sampled == -inf else 1 - exp(-(at - self._sampled) / OTHERS_MEMORY)
        self.mean += (seen - self.mean) * weight
        self._sampled = at
        if at >= self.at:
            self.value, self.at = seen, at

    def leased(self, others: float, now: float) -> bool:
        """A lease answer. False = more than we knew, and known now."""
        if others <= self.now(now) + LEASE_NEWS:
            return True
        self.value, self.at = float(others), now
        return False


class Book(dict[str, Attempt]):
    """All open attempts by their ids."""

    def counts(self) -> Mapping[tuple[str, str], int]:
        """(node, model) -> open attempts, without zeros; counted anew each time."""
        return Counter((attempt.node, attempt.model) for attempt in self.values())
