"""Is a node to be trusted: own checks and the breaker of its requests (reliability.md 4.5).

Two separate beliefs. Checks open and close their own; a check that succeeds never closes what
requests opened, since servers answer 200 while their generation hangs.
"""

from enum import IntEnum
from math import inf

from dpl_router.scheduling.types import Failure

LOCAL = frozenset({Failure.CONNECT, Failure.RESET, Failure.TIMEOUT})
LOCAL_LIMIT = 2
ANSWERED = frozenset({Failure.STATUS_5XX, Failure.CUT})
"""The node spoke, but no good: a status 5xx, or an answer that it did not end."""
ANSWERED_LIMIT = 5
CHECK_LIMIT = 2

OPEN_FIRST, OPEN_MAX = 2.0, 60.0
"""Seconds: 2 x 2^k, at most 60."""


class Circuit(IntEnum):
    """As `dpl_router_circuit_state` shows it."""

    CLOSED = 0
    HALF = 1
    OPEN = 2


class Health:
    """One node. Failures count in a row: an answer that ends well starts anew."""

    def __init__(self) -> None:
        self.epoch = 0
        """Goes up when the breaker opens: what was sent before tells nothing about after."""
        self.checked = Circuit.CLOSED
        self.open_until = -inf
        self.calm = True
        """Nothing is believed against it: what is sent and what is heard then changes nothing."""
        self._opened = False
        self._trips = 0
        self._checks_failed = 0
        self._local = 0
        self._answered = 0
        self._probe: str | None = None

    def check(self, ok: bool) -> None:
        """Two failures in a row = down; a success = half open; the next one = closed."""
        if not ok:
            self._checks_failed += 1
            if self._checks_failed >= CHECK_LIMIT:
                self.checked = Circuit.OPEN
        else:
            self._checks_failed = 0
            self.checked = Circuit.HALF if self.checked is Circuit.OPEN else Circuit.CLOSED
        self._settle()

    def _settle(self) -> None:
        self.calm = self.checked is Circuit.CLOSED and not self._opened and self._probe is None

    @property
    def trying(self) -> bool:
        """The one request of a half-open node is under way."""
        return self._probe is not None

    def sent(self, attempt: str) -> None:
        if self._probe is None and (self._opened or self.checked is not Circuit.CLOSED):
            self._probe = attempt
        self._settle()

    def released(self, attempt: str) -> None:
        """The attempt has its first token or its end."""
        if self._probe == attempt:
            self._probe = None
        self._settle()

    def token(self, epoch: int) -> None:
        """A first token of an attempt sent in `epoch`: what requests opened, a request closes."""
        if epoch != self.epoch:
            return
        self._opened = False
        self.open_until = -inf
        if self.checked is not Circuit.CLOSED:
            self.check(ok=True)
        self._settle()

    def done(self, epoch: int) -> None:
        """An answer came to its end."""
        if epoch == self.epoch:
            self._local = self._answered = self._trips = 0

    def failed(self, failure: Failure | None, epoch: int, now: float) -> bool:
        """Is the breaker to open now? The caller knows whether another node could serve."""
        if epoch != self.epoch or (self._opened and now < self.open_until):
            return False
        if failure in LOCAL:
            self._local += 1
        elif failure in ANSWERED:
            self._answered += 1
        else:
            return False
        return self._opened or self._local >= LOCAL_LIMIT or self._answered >= ANSWERED_LIMIT

    def open(self, now: float) -> None:
        self.open_until = now + min(OPEN_MAX, OPEN_FIRST * 2.0 ** min(self._trips, 10))
        self._opened = True
        self._trips += 1
        self.epoch += 1
        self._local = self._answered = 0
        self._probe = None
        self._settle()

    def circuit(self, now: float) -> Circuit:
        if self.checked is Circuit.OPEN or now < self.open_until:
            return Circuit.OPEN
        return Circuit.HALF if self._opened else self.checked
