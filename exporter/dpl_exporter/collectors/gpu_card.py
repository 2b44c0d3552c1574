"""What can be told of a GPU, whoever made it, and the families that tell it: each declared once.

None, or a key that is missing, is what this card does not tell: no series, never a zero.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from dpl_exporter.collectors.base import clean, info

Told = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Slice:
    """A GPU instance of a card that is cut up (MIG); bytes."""

    used: float | None
    total: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Ratios 0 to 1, bytes, and processes by kind (llm, other)."""

    busy: float | None = None
    memory_busy: float | None = None
    memory_total: float | None = None
    memory_used: float | None = None
    memory_reserved: float | None = None
    foreign_memory: float | None = None
    processes: Told = field(default_factory=dict)
    mig: Mapping[str, Slice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Watts, joules and seconds since the driver was loaded, celsius by sensor, hertz by domain.

    `throttled` (seconds) and `held` (0 or 1) are by the reason for which the clock is held down.
    """

    energy: float | None = None
    watts: float | None = None
    limit: float | None = None
    temperatures: Told = field(default_factory=dict)
    slowdown: float | None = None
    clocks: Told = field(default_factory=dict)
    clocks_max: Told = field(default_factory=dict)
    throttled: Told = field(default_factory=dict)
    held: Told = field(default_factory=dict)
    fan: float | None = None
    performance_state: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Counts since the driver was loaded; the link by `bound` (current, max), bytes a second."""

    recovery_action: float | None = None
    ecc: Told = field(default_factory=dict)
    remap_failure: float | None = None
    remap_pending: float | None = None
    replays: float | None = None
    link_generation: Told = field(default_factory=dict)
    link_width: Told = field(default_factory=dict)
    receive_rate: float | None = None
    transmit_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One GPU; `index` is the label `gpu`, `about` the other labels of dpl_gpu_info."""

    index: str
    about: Mapping[str, str]
    load: Load = Load()
    power: Power = Power()
    health: Health = Health()


def card_families(cards: Sequence[Card]) -> Iterable[Metric]:
    """Families without any series are left out; a card that is gone has none."""
    labels = [{"gpu": card.index, **_known(card.about)} for card in cards]
    yield from info("dpl_gpu", "What the GPU is.", labels)
    for name, text, pick in _PLAIN:
        made = _family(name, text, ["gpu"])
        for card in cards:
            _add(made, [card.index], pick(card))
        if made.samples:
            yield made
    for name, text, label, pick_all in _BY_LABEL:
        made = _family(name, text, ["gpu", label])
        for card in cards:
            for key, value in pick_all(card).items():
                _add(made, [card.index, clean(key)], value)
        if made.samples:
            yield made


Family = CounterMetricFamily | GaugeMetricFamily


def _family(name: str, text: str, labels: Sequence[str]) -> Family:
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    return kind(name, text, labels=labels)


def _add(family: Family, labels: Sequence[str], value: float | None) -> None:
    if value is not None:
        family.add_metric(labels, value)


def _known(about: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in about.items() if text}


_PLAIN: tuple[tuple[str, str, Callable[[Card], float | None]], ...] = (
    ("dpl_gpu_utilization_ratio", "Share of time a kernel ran, 0 to 1.", lambda c: c.load.busy),
    (
        "dpl_gpu_memory_copy_utilization_ratio",
        "Share of time memory was read or written, 0 to 1.",
        lambda c: c.load.memory_busy,
    ),
    ("dpl_gpu_memory_total_bytes", "Memory of the GPU.", lambda c: c.load.memory_total),
    ("dpl_gpu_memory_used_bytes", "Memory in use.", lambda c: c.load.memory_used),
    (
        "dpl_gpu_memory_reserved_bytes",
        "Memory that the driver keeps for itself.",
        lambda c: c.load.memory_reserved,
    ),
    (
        "dpl_gpu_foreign_memory_used_bytes",
        "Memory in use by processes that are no model server.",
        lambda c: c.load.foreign_memory,
    ),
    (
        "dpl_gpu_temperature_slowdown_celsius",
        "Where the card slows itself down.",
        lambda c: c.power.slowdown,
    ),
    ("dpl_gpu_energy_joules_total", "Energy used.", lambda c: c.power.energy),
    ("dpl_gpu_power_watts", "Power now.", lambda c: c.power.watts),
    ("dpl_gpu_power_limit_watts", "Power that the card may take.", lambda c: c.power.limit),
    ("dpl_gpu_fan_speed_ratio", "Its fastest fan; 1 is full speed.", lambda c: c.power.fan),
    (
        "dpl_gpu_performance_state",
        "P-state: 0 is the fastest, 15 the slowest.",
        lambda c: c.power.performance_state,
    ),
    (
        "dpl_gpu_recovery_action",
        "What the driver asks for: 0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset.",
        lambda c: c.health.recovery_action,
    ),
    (
        "dpl_gpu_row_remap_failure",
        "1 where a broken row of memory could not be replaced.",
        lambda c: c.health.remap_failure,
    ),
    (
        "dpl_gpu_row_remap_pending",
        "1 where a broken row is replaced at the next reset.",
        lambda c: c.health.remap_pending,
    ),
    ("dpl_gpu_pcie_replays_total", "Repeats on the PCIe link.", lambda c: c.health.replays),
    (
        "dpl_gpu_pcie_receive_bytes_per_second",
        "Traffic to the card over 20 ms.",
        lambda c: c.health.receive_rate,
    ),
    (
        "dpl_gpu_pcie_transmit_bytes_per_second",
        "Traffic from the card over 20 ms.",
        lambda c: c.health.transmit_rate,
    ),
)

_BY_LABEL: tuple[tuple[str, str, str, Callable[[Card], Told]], ...] = (
    ("dpl_gpu_processes", "Processes on the GPU.", "kind", lambda c: c.load.processes),
    ("dpl_gpu_temperature_celsius", "Temperature.", "sensor", lambda c: c.power.temperatures),
    ("dpl_gpu_clock_hertz", "Clock now.", "domain", lambda c: c.power.clocks),
    ("dpl_gpu_clock_max_hertz", "Its highest clock.", "domain", lambda c: c.power.clocks_max),
    (
        "dpl_gpu_throttled_seconds_total",
        "Time in which the clock was held down.",
        "reason",
        lambda c: c.power.throttled,
    ),
    (
        "dpl_gpu_clock_event_active",
        "1 while the clock is held down.",
        "reason",
        lambda c: c.power.held,
    ),
    (
        "dpl_gpu_ecc_errors_total",
        "Memory errors since the driver was loaded.",
        "severity",
        lambda c: c.health.ecc,
    ),
    (
        "dpl_gpu_pcie_link_generation",
        "PCIe generation of the link.",
        "bound",
        lambda c: c.health.link_generation,
    ),
    (
        "dpl_gpu_pcie_link_width",
        "PCIe lanes of the link.",
        "bound",
        lambda c: c.health.link_width,
    ),
    (
        "dpl_gpu_mig_memory_used_bytes",
        "Memory in use of a GPU instance.",
        "gpu_instance",
        lambda c: {name: one.used for name, one in c.load.mig.items()},
    ),
    (
        "dpl_gpu_mig_memory_total_bytes",
        "Memory of a GPU instance.",
        "gpu_instance",
        lambda c: {name: one.total for name, one in c.load.mig.items()},
    ),
)
