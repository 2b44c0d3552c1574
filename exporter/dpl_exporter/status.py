"""The seed's /status document, made from the same families as /metrics.

Percentages are 0 to 100 here; base units are for /metrics. What is not known is null.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import Metric

TOTALS: Mapping[str, str] = {
    "receive_bytes_per_second": "dpl_node_network_receive_bytes_total",
    "transmit_bytes_per_second": "dpl_node_network_transmit_bytes_total",
    "read_bytes_per_second": "dpl_node_disk_read_bytes_total",
    "written_bytes_per_second": "dpl_node_disk_written_bytes_total",
}
CPU = "dpl_node_cpu_seconds_total"
IDLE = ("idle", "iowait")
Series = tuple[str, str]
"""Name of a counter, and its device or mode."""
GPU: Mapping[str, str] = {
    "busy": "dpl_gpu_utilization_ratio",
    "total": "dpl_gpu_memory_total_bytes",
    "used": "dpl_gpu_memory_used_bytes",
    "watts": "dpl_gpu_power_watts",
}


class Readings:
    """Families as values, looked for when they are asked for: a page of 400 series needs six."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def _series(self, name: str) -> list[tuple[Mapping[str, str], float]]:
        """(labels, value); the family of a counter lacks the _total of its series."""
        return [
            (sample.labels, sample.value)
            for family in self._families
            if name.startswith(family.name)
            for sample in family.samples
            if sample.name == name
        ]

    def value(self, name: str) -> float | None:
        """The sum of all series; None where there is none."""
        found = self._series(name)
        return sum(value for _, value in found) if found else None

    def by(self, name: str, label: str, **only: str) -> dict[str, float]:
        """The values of one family by a label; `only` are labels that must be as given."""
        return {
            labels.get(label, ""): value
            for labels, value in self._series(name)
            if only.items() <= labels.items()
        }

    def labels(self, name: str, label: str, other: str) -> dict[str, str]:
        """One label of a family by another, for an info metric; empty where it lacks it."""
        return {labels.get(label, ""): labels.get(other, "") for labels, _ in self._series(name)}

    def label(self, name: str, label: str) -> str | None:
        """The label of the first series."""
        found = self._series(name)
        return found[0][0].get(label) if found else None

    def totals(self) -> dict[Series, float]:
        """The counters that rates are made of."""
        labels = dict.fromkeys(TOTALS.values(), "device") | {CPU: "mode"}
        return {
            (name, one): value
            for name, label in labels.items()
            for one, value in self.by(name, label).items()
        }


def status_document(
    readings: Readings,
    rates: Mapping[Series, float | None],
    lock: Mapping[str, object],
    preferred: str | None,
) -> dict[str, object]:
    """`lock` is what the lease desk says, `rates` what Throughput made of `readings.totals()`."""
    return {
        "locked": bool(lock["holders"]),
        "lock": lock,
        "cpu": {
            "percent": _cpu_percent(rates),
            "count": readings.by("dpl_node_cpus", "kind").get("logical"),
            "load1": readings.value("dpl_node_load1"),
        },
        "memory": _memory(readings),
        "gpu": gpus(readings),
        "model": current_model(readings, preferred),
        "models": sorted(readings.by("dpl_llm_model_loaded", "model")),
        "llm": {
            "up": bool(readings.value("dpl_llm_up")),
            "backend": readings.label("dpl_llm_up", "backend"),
        },
        "network": {key: _rate(rates, TOTALS[key]) for key in list(TOTALS)[:2]},
        "disk": {key: _rate(rates, TOTALS[key]) for key in list(TOTALS)[2:]},
        "hostname": readings.label("dpl_node_info", "hostname"),
    }


def gpus(readings: Readings) -> list[dict[str, object]]:
    """One row for each GPU, in the order of their labels."""
    names = readings.labels("dpl_gpu_info", "gpu", "name")
    columns = {key: readings.by(metric, "gpu") for key, metric in GPU.items()}
    heat = readings.by("dpl_gpu_temperature_celsius", "gpu", sensor="core")
    rows: list[dict[str, object]] = []
    for gpu in sorted(names, key=lambda name: (len(name), name)):
        value = {key: column.get(gpu) for key, column in columns.items()}
        busy, total, used = value["busy"], value["total"], value["used"]
        rows.append(
            {
                "gpu": gpu,
                "name": names[gpu],
                "percent": None if busy is None else round(100 * busy, 2),
                "memory": {
                    "percent": round(100 * used / total, 2) if total and used is not None else None,
                    "total_bytes": total,
                    "used_bytes": used,
                },
                "temperature_celsius": heat.get(gpu),
                "power_watts": value["watts"],
            }
        )
    return rows


def current_model(readings: Readings, preferred: str | None) -> str | None:
    """The preferred one where the server has it, else one that is loaded, else the first."""
    loaded = readings.by("dpl_llm_model_loaded", "model")
    for name in (preferred, f"{preferred}:latest"):
        if name in loaded:
            return name
    return max(sorted(loaded), key=lambda name: loaded[name], default=None)


def _memory(readings: Readings) -> dict[str, float | None]:
    total = readings.value("dpl_node_memory_total_bytes")
    available = readings.value("dpl_node_memory_available_bytes")
    percent = None
    if total and available is not None:
        percent = round(100 * (1 - available / total), 2)
    return {"percent": percent, "total_bytes": total, "available_bytes": available}


def _rate(rates: Mapping[Series, float | None], name: str) -> float | None:
    """Of all devices whose rate is known together; None where there is none."""
    known = [rate for (counter, _), rate in rates.items() if counter == name and rate is not None]
    return sum(known) if known else None


def _cpu_percent(rates: Mapping[Series, float | None]) -> float | None:
    modes = {mode: rate for (counter, mode), rate in rates.items() if counter == CPU}
    known = {mode: rate for mode, rate in modes.items() if rate is not None}
    total, idle = sum(known.values()), sum(known.get(mode, 0.0) for mode in IDLE)
    if not total or len(known) < len(modes):
        return None
    return round(100 * min(1.0, max(0.0, 1 - idle / total)), 2)
