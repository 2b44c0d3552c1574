"""Joules out of watts, for a card whose driver counts no energy."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

LONGEST_GAP = 60.0
"""Seconds: what happened in a longer one is not known, so it is not counted."""


@dataclass(slots=True)
class _Meter:
    at: float
    watts: float
    joules: float = 0.0


class EnergyCount:
    """Power integrated over time, by card. Not for two threads at once."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._meters: dict[Hashable, _Meter] = {}

    def add(self, card: Hashable, watts: float | None) -> float | None:
        """Joules of this card since it was first told here; None where it tells no power."""
        if watts is None:
            return None
        now = self._now()
        meter = self._meters.setdefault(card, _Meter(now, watts))
        gap = now - meter.at
        if 0 < gap <= LONGEST_GAP:
            meter.joules += gap * (watts + meter.watts) / 2
        meter.at, meter.watts = now, watts
        return meter.joules
