"""Families and pages as plain values: {series name: {labels: value}}."""

from collections.abc import Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Values = dict[str, dict[Labels, float]]


def labels(**pairs: str) -> Labels:
    return frozenset(pairs.items())


def values_of(families: Iterable[Metric]) -> Values:
    found: Values = {}
    for family in families:
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            key = frozenset(sample.labels.items())
            assert key not in series, f"{sample.name}{sample.labels} stands there twice"
            series[key] = sample.value
    return found


def values_on(page: str) -> Values:
    return values_of(text_string_to_metric_families(page))


def by(values: Mapping[str, Mapping[Labels, float]], name: str, label: str) -> dict[str, float]:
    """One family by one label."""
    return {dict(key)[label]: value for key, value in values.get(name, {}).items()}


def only(values: Mapping[str, Mapping[Labels, float]], name: str) -> float:
    """The value of the one series of that name."""
    (value,) = values[name].values()
    return value
