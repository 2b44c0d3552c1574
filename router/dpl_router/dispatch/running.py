"""What is open at the nodes now, and its end from outside."""

import time

from dpl_router.dispatch.attempt import Attempt
from dpl_router.errors import DplError, LeaseLost, Unavailable

LONG_SILENCE = 20.0
"""Seconds: less is nothing to speak of. A model that is loaded, or a long prompt, takes longer."""


class Running:
    """Attempts from their start to their end. To abort one gives its place back where it runs."""

    def __init__(self) -> None:
        self._attempts: set[Attempt] = set()

    def add(self, attempt: Attempt) -> None:
        self._attempts.add(attempt)

    def discard(self, attempt: Attempt) -> None:
        self._attempts.discard(attempt)

    def _at(self, node: str) -> list[Attempt]:
        return [attempt for attempt in self._attempts if attempt.node.name == node]

    def silence(self, node: str, now: float) -> float | None:
        """Seconds since the last word of what is open at `node`, or since the oldest of it was
        sent; None where nothing is, or where that is less than `LONG_SILENCE`."""
        there = self._at(node)
        if not there:
            return None
        since = max(min(one.started for one in there), max(one.last_at for one in there))
        return now - since if now - since >= LONG_SILENCE else None

    def stop_unanswered(self, node: str, why: str, now: float | None = None) -> None:
        """Attempts without a first word go elsewhere; what may have begun by `now` goes on."""
        now = time.monotonic() if now is None else now
        for attempt in self._at(node):
            if attempt.waits(now):
                attempt.stream.abort(LeaseLost(why))

    def cut(self, node: str, why: str) -> int:
        """End what runs there: begun answers with an error, the others go elsewhere. How many."""
        there = self._at(node)
        for attempt in there:
            attempt.stream.abort(LeaseLost(why) if attempt.first_at is None else Unavailable(why))
        return len(there)

    def cut_all(self, error: DplError) -> None:
        for attempt in tuple(self._attempts):
            attempt.stream.abort(error)
