"""What every collector is, and small words for making families.

A collector reads, then speaks: `read` is an argument of its constructor, so that a test needs
no machine; `collect` turns readings into families. Base units only. Unknown is absent, never 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

LONGEST_LABEL = 200
"""Bytes. Prometheus drops the whole page for a longer label value (label_value_length_limit)."""
MOST_DEVICES = 8
"""Disks, and network devices, that get series: keeps a page under its budget of 400."""


class Collector(Protocol):
    """One subject. Called on a thread of its own, never twice at once."""

    @property
    def name(self) -> str:
        """The word in the flag, the file and the label `collector`."""
        ...

    def collect(self) -> Iterable[Metric]:
        """Raises: NoData where there is nothing to read here; Failed; anything else fails too."""
        ...

    def late(self) -> Iterable[Metric]:
        """What is true although `collect` did not come back in time; nothing, for most."""
        return ()


def gauge(name: str, text: str, value: float | None) -> Iterable[Metric]:
    """A gauge without labels; nothing where the value is not known."""
    if value is not None:
        yield GaugeMetricFamily(name, text, value=value)


def gauges(
    name: str, text: str, label: str, values: Mapping[str, float | None]
) -> Iterable[Metric]:
    """A gauge with one label; values that are not known are left out."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        if value is not None:
            family.add_metric([clean(key)], value)
    if family.samples:
        yield family


def counter(name: str, text: str, value: float | None) -> Iterable[Metric]:
    """A counter without labels; `name` ends in _total."""
    if value is not None:
        yield CounterMetricFamily(name, text, value=value)


def counters(
    name: str, text: str, label: str, values: Mapping[str, float | None]
) -> Iterable[Metric]:
    """A counter with one label; values that are not known are left out."""
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        if value is not None:
            family.add_metric([clean(key)], value)
    if family.samples:
        yield family


def info(name: str, text: str, values: Sequence[Mapping[str, str]]) -> Iterable[Metric]:
    """An info metric: `name` is without _info, every mapping one series."""
    if values:
        family = InfoMetricFamily(name, text, labels=[])
        for one in values:
            family.add_metric([], {key: clean(value) for key, value in one.items()})
        yield family


def merged(families: Iterable[Metric]) -> list[Metric]:
    """One family for each name: two collectors tell of GPUs where a machine has two makes."""
    found: dict[str, Metric] = {}
    for one in families:
        twin = found.get(one.name)
        if twin is None:
            found[one.name] = one
            continue
        both = Metric(one.name, twin.documentation, one.type)  # the guard keeps `twin` for later
        both.samples = [*twin.samples, *one.samples]
        found[one.name] = both
    return list(found.values())


def clean(text: str) -> str:
    """A label value that comes from outside: printable, and of at most 200 bytes."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:LONGEST_LABEL])
    return shown.encode()[:LONGEST_LABEL].decode("utf-8", "ignore")
