"""Counters, gauges, histograms and summaries that cost next to nothing to count on.

prometheus_client guards every value with a lock and looks for a bucket one by one: half of what
the router itself costs for a plain request. All of ours are changed by one thread, the loop's, so
they need none of that. A `Family` is a collector of prometheus_client and renders as its own
families do (without `_created`, which would double the page); that happens in a worker thread, so
what it reads it copies first.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

EXEMPLAR_EVERY = 1.0
"""Seconds for which a bucket keeps the exemplar that it has: a scrape sees the last one only."""


def shown(value: float) -> float:
    """As a sample has it. A whole number beyond every float is infinite: it must not take the page
    away."""
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf


class Tally(Protocol):
    """One series, or the few that belong together."""

    def samples(self) -> Iterable[Sample]:
        """Named by their suffix, with what labels they have beyond the family's own."""
        ...


class Count:
    """What only goes up: a negative amount counts nothing."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        if amount > 0:
            self.value += amount

    def samples(self) -> Iterable[Sample]:
        return [Sample("_total", {}, shown(self.value))]


class Level:
    """What goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        self.value -= amount

    def set(self, value: float) -> None:
        self.value = value

    def samples(self) -> Iterable[Sample]:
        return [Sample("", {}, shown(self.value))]


class Sum:
    """How many, and how much: a summary without quantiles."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0

    def observe(self, amount: float) -> None:
        self.count += 1
        self.total += amount

    def samples(self) -> Iterable[Sample]:
        return [Sample("_count", {}, float(self.count)), Sample("_sum", {}, self.total)]


class Buckets:
    """How many up to each bound, and how much in all: a histogram."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` ascend; the last, infinity, goes without saying."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._exemplars: dict[int, tuple[str, float, float]] = {}
        """Bucket -> id of a request, what was observed of it, and when (Unix seconds)."""

    def observe(self, amount: float) -> None:
        self._total += amount
        self._counts[bisect_left(self._bounds, amount)] += 1

    def observe_request(self, amount: float, request_id: str) -> bool:
        """`request_id` becomes the exemplar of its bucket, where that has none of late: whether."""
        self._total += amount
        bucket = bisect_left(self._bounds, amount)
        self._counts[bucket] += 1
        told, now = self._exemplars.get(bucket), time.time()
        if told is not None and abs(now - told[2]) <= EXEMPLAR_EVERY:
            return False
        self._exemplars[bucket] = request_id, amount, now
        return True

    def samples(self) -> Iterable[Sample]:
        sofar, total = 0.0, self._total
        counts, exemplars = self._counts.copy(), self._exemplars.copy()
        for bucket, bound in enumerate((*self._bounds, inf)):
            sofar += counts[bucket]
            exemplar = exemplars.get(bucket)
            yield Sample(
                "_bucket",
                {"le": floatToGoString(bound)},  # type: ignore[no-untyped-call]
                sofar,
                exemplar=Exemplar({"request_id": exemplar[0]}, *exemplar[1:]) if exemplar else None,
            )
        yield Sample("_count", {}, sofar)
        yield Sample("_sum", {}, total)


class Observer(Protocol):
    """What is told of each request: a histogram, or two."""

    def observe(self, amount: float) -> None: ...

    def observe_request(self, amount: float, request_id: str) -> bool: ...


class Both:
    """Two histograms of the same, each with its bounds; exemplars are the first's."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Observer, second: Observer) -> None:
        self._first, self._second = first, second

    def observe(self, amount: float) -> None:
        self._first.observe(amount)
        self._second.observe(amount)

    def observe_request(self, amount: float, request_id: str) -> bool:
        self._second.observe(amount)
        return self._first.observe_request(amount, request_id)


Kept = TypeVar("Kept", bound=Tally)
Word = TypeVar("Word", bound=str)


class Family(Collector, Generic[Kept]):
    """One name on the page. Ask once for the tally of some label values, and keep it."""

    def __init__(
        self,
        kind: str,
        name: str,
        help_: str,
        labels: Sequence[str],
        make: Callable[[], Kept],
    ) -> None:
        """`kind` in the words of prometheus_client."""
        self._kind, self._name, self._help = kind, name.removesuffix("_total"), help_
        self._names = tuple(labels)
        self._make = make
        self._kept: dict[tuple[str, ...], Kept] = {}

    def labels(self, *values: str) -> Kept:
        """In the order of the names. Raises: ValueError where there are more or fewer."""
        if len(values) != len(self._names):
            raise ValueError(f"{self._name} has the labels {self._names}, not {values}")
        words = tuple(str(value) for value in values)  # also of an enum
        kept = self._kept.get(words)
        if kept is None:
            kept = self._kept[words] = self._make()
        return kept

    def remove(self, *values: str) -> None:
        """No more of them on the page."""
        self._kept.pop(values, None)

    def describe(self) -> Iterable[Metric]:
        yield Metric(self._name, self._help, self._kind)

    def collect(self) -> Iterator[Metric]:
        metric = Metric(self._name, self._help, self._kind)
        for values, kept in self._kept.copy().items():
            own = dict(zip(self._names, values, strict=True))
            metric.samples += [
                Sample(
                    metric.name + sample.name,
                    own | sample.labels,
                    sample.value,
                    exemplar=sample.exemplar,
                )
                for sample in kept.samples()
            ]
        yield metric


class ByWord(dict[Word, Count], Generic[Word]):
    """The counters of one family by its last label, which is a word of a closed set."""

    def __init__(self, family: Family[Count], *fixed: str) -> None:
        super().__init__()
        self._family = family
        self._fixed = fixed

    def __missing__(self, word: Word) -> Count:
        child = self[word] = self._family.labels(*self._fixed, word)
        return child

    def from_the_start(self, words: Iterable[Word]) -> "ByWord[Word]":
        """Every series exists at 0, so that its first event is an increase."""
        for word in words:
            self[word]  # makes it
        return self


class Page:
    """Makes families, all on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    def _add(self, family: Family[Kept]) -> Family[Kept]:
        self.registry.register(family)
        return family

    def counts(self, name: str, help_: str, labels: Sequence[str]) -> Family[Count]:
        return self._add(Family("counter", name, help_, labels, Count))

    def levels(self, name: str, help_: str, labels: Sequence[str]) -> Family[Level]:
        return self._add(Family("gauge", name, help_, labels, Level))

    def sums(self, name: str, help_: str, labels: Sequence[str]) -> Family[Sum]:
        return self._add(Family("summary", name, help_, labels, Sum))

    def buckets(
        self, name: str, help_: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> Family[Buckets]:
        return self._add(Family("histogram", name, help_, labels, lambda: Buckets(bounds)))

    # without labels: the only tally of its family

    def count(self, name: str, help_: str) -> Count:
        return self.counts(name, help_, ()).labels()

    def level(self, name: str, help_: str) -> Level:
        return self.levels(name, help_, ()).labels()
