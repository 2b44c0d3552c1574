"""Joules of a card: its own count, or power over time where its driver counts no energy."""

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
        self._count_themselves: set[Hashable] = set()

    def one_count(self, card: Hashable, counted: float | None, watts: float | None) -> float | None:
        """`counted` where the card told it at first, else what `add` makes of its power; for ever
        the same of the two, since a step between them would be a power of megawatts.

        So None where a card that counts for itself does not tell now.
        """
        if counted is not None and card not in self._meters:
            self._count_themselves.add(card)
        return counted if card in self._count_themselves else self.add(card, watts)

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
