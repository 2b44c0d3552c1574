"""Rates from two snapshots of counters, for /status."""

from collections.abc import Mapping
from typing import Generic, TypeVar

LEAST = 1.0
"""Seconds between two snapshots that make a rate; less would be noise."""
MOST_SNAPSHOTS = 8

Series = TypeVar("Series")


class Throughput(Generic[Series]):
    """Remembers a few snapshots. Times are monotonic seconds. Safe from many threads: the past is
    replaced, never changed; of two snapshots at once one may be lost."""

    def __init__(self) -> None:
        self._past: tuple[tuple[float, Mapping[Series, float]], ...] = ()

    def add(self, now: float, totals: Mapping[Series, float]) -> None:
        past = self._past
        if not past or now - past[-1][0] >= LEAST:
            self._past = (*past, (now, totals))[-MOST_SNAPSHOTS:]

    def rates(self, now: float, totals: Mapping[Series, float]) -> dict[Series, float | None]:
        """Per second, against the newest snapshot that is old enough.

        None where there is none yet, where the counter is new, or where it fell. Of counters and
        not of sums of them: a device that comes back brings all that it has counted.
        """
        for then, before in reversed(self._past):
            if now - then >= LEAST:
                return {
                    name: _rate(total, before.get(name), now - then)
                    for name, total in totals.items()
                }
        return dict.fromkeys(totals)


def _rate(total: float, before: float | None, seconds: float) -> float | None:
    return None if before is None or total < before else (total - before) / seconds
