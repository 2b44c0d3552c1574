"""May a failed attempt be tried elsewhere, and how often (reliability.md 4.5).

At most two retries of one request, and over all requests 20 % of them plus ten a second: a fleet
that fails is not to get three times its load.
"""

from dpl_router.scheduling.types import Demand, Failure

RETRIES = 2
SHARE = 0.2
PER_SECOND = 10.0
BURST = 100.0
"""Ten seconds' worth: the budget at the start, and its bound."""

FINAL = frozenset({Failure.REQUEST, Failure.CUT})
"""The request's own fault, or part of the answer is out already."""


class RetryBudget:
    def __init__(self) -> None:
        self._left = BURST
        self._at: float | None = None

    def allows(self, demand: Demand, failure: Failure, now: float) -> bool:
        """`demand` as it was sent when it failed."""
        return demand.attempts < RETRIES and failure not in FINAL and self.left(now) >= 1.0

    def left(self, now: float) -> float:
        """Retries that may start at once; a clock that jumps back adds none."""
        if self._at is None:
            return self._left
        return min(BURST, self._left + max(0.0, now - self._at) * PER_SECOND)

    def sent(self, demand: Demand, now: float) -> None:
        """A first try earns its share; a retry spends one."""
        if self._left == BURST and not demand.attempts:  # nearly always: there is no room to earn
            self._at = now
            return
        earned = -1.0 if demand.attempts else SHARE
        self._left = min(BURST, max(0.0, self.left(now) + earned))
        self._at = now
