"""A collector that says what it has read a second time, in the words of another program."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector
from dpl_exporter.errors import Failed

R = TypeVar("R")


class Bilingual(Collector, Generic[R]):
    """`make` is the collector's constructor, `words` the translation of what it reads.

    The machine is read once. Raises: what that collector raises.
    """

    def __init__(
        self,
        make: Callable[[Callable[[], R]], Collector],
        read: Callable[[], R],
        words: Callable[[R], Iterable[Metric]],
    ) -> None:
        self._collector = make(self._read_and_keep)
        self._read = read
        self._words = words
        self._kept: list[R] = []

    @property
    def name(self) -> str:
        return self._collector.name

    def collect(self) -> Iterable[Metric]:
        try:
            own = tuple(self._collector.collect())
        except Failed as failure:
            raise Failed(failure.message, (*failure.families, *self._translated())) from None
        return (*own, *self._translated())

    def late(self) -> Iterable[Metric]:
        return self._collector.late()

    def _read_and_keep(self) -> R:
        reading = self._read()
        self._kept = [reading]
        return reading

    def _translated(self) -> Iterable[Metric]:
        kept, self._kept = self._kept, []
        return [family for reading in kept for family in self._words(reading)]
