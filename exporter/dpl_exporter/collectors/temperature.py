"""Temperature sensors of the machine (not of GPUs), on Linux and FreeBSD."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import psutil
from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector, gauges
from dpl_exporter.errors import NoData


def read_temperatures() -> dict[str, list[float]]:
    """Celsius per chip. Source: psutil.sensors_temperatures."""
    if not hasattr(psutil, "sensors_temperatures"):
        return {}
    return {
        chip: [one.current for one in found]
        for chip, found in psutil.sensors_temperatures().items()
    }


class TemperatureCollector(Collector):
    """dpl_node_temperature_celsius{sensor}: the hottest reading of each chip.

    A chip has a sensor per core, which on a big machine would be a hundred series.
    Raises: NoData where there is no sensor.
    """

    name = "temperature"

    def __init__(
        self, read: Callable[[], Mapping[str, Sequence[float]]] = read_temperatures
    ) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        hottest = {chip: max(found) for chip, found in sorted(self._read().items()) if found}
        if not hottest:
            raise NoData("no temperature sensor")
        yield from gauges(
            "dpl_node_temperature_celsius",
            "Hottest reading of each sensor chip.",
            "sensor",
            dict(hottest),
        )
