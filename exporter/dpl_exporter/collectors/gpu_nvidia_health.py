"""How an NVIDIA card is: heat, power, clocks and what holds them down, errors, its link."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dpl_exporter.collectors.gpu_card import Health, Power
from dpl_exporter.collectors.gpu_energy import EnergyCount
from dpl_exporter.collectors.nvml import Handle, Nvml, value_of

REASONS: Mapping[str, int] = {
    "sw_power": 0x04,
    "sync_boost": 0x10,
    "sw_thermal": 0x20,
    "hw_thermal": 0x40,
    "hw_power_brake": 0x80,
}
"""Bits of nvmlClocksEventReasons."""
FIELDS: Mapping[str, str] = {
    "sw_power": "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP",
    "sync_boost": "NVML_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST",
    "sw_thermal": "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN",
    "hw_thermal": "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN",
    "hw_power_brake": "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN",
    "memory_temperature": "NVML_FI_DEV_MEMORY_TEMP",
    "recovery_action": "NVML_FI_DEV_GET_GPU_RECOVERY_ACTION",
}
POLICIES: Mapping[str, str] = {
    "sw_power": "NVML_PERF_POLICY_POWER",
    "sw_thermal": "NVML_PERF_POLICY_THERMAL",
    "sync_boost": "NVML_PERF_POLICY_SYNC_BOOST",
}
"""Drivers without those fields count these; their thermal one holds both kinds."""
HOTTEST = 200
UNKNOWN_STATE = 32
MOST_NANOSECONDS = 1 << 62
"""Above: a blank reading (2^63 - 14, 2^64 - 1)."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Traffic on the PCIe link in bytes a second."""

    receive: float | None = None
    transmit: float | None = None


def read_fields(nvml: Nvml, handle: Handle) -> dict[str, float]:
    """Those of FIELDS that this card tells. Source: nvmlDeviceGetFieldValues."""
    told = nvml.ask("DeviceGetFieldValues", handle, [nvml.constant(f) for f in FIELDS.values()])
    return {
        name: value
        for name, one in zip(FIELDS, told or (), strict=False)
        if one.nvmlReturn == 0 and (value := value_of(one.value, one.valueType)) is not None
    }


def read_power(
    nvml: Nvml, handle: Handle, uuid: str, fields: Mapping[str, float], energy: EnergyCount
) -> Power:
    """Raises: CardLost, DriverFailed."""
    watts = _milli(nvml.ask("DeviceGetPowerUsage", handle))
    joules = _milli(nvml.ask("DeviceGetTotalEnergyConsumption", handle))
    events = nvml.ask("DeviceGetCurrentClocksEventReasons", handle)
    if events is None:
        events = nvml.ask("DeviceGetCurrentClocksThrottleReasons", handle)
    state = nvml.ask("DeviceGetPerformanceState", handle)
    return Power(
        energy=energy.one_count(uuid, joules, watts),
        watts=watts,
        limit=_milli(nvml.ask("DeviceGetEnforcedPowerLimit", handle)),
        temperatures=read_temperatures(nvml, handle, fields),
        slowdown=_warm(
            nvml.ask(
                "DeviceGetTemperatureThreshold",
                handle,
                nvml.constant("NVML_TEMPERATURE_THRESHOLD_SLOWDOWN"),
            )
        ),
        clocks=_clocks(nvml, "DeviceGetClockInfo", handle),
        clocks_max=_clocks(nvml, "DeviceGetMaxClockInfo", handle),
        throttled=read_throttled(nvml, handle, fields),
        held={}
        if events is None
        else {name: float(bool(events & bit)) for name, bit in REASONS.items()},
        fan=_fan(nvml, handle),
        performance_state=state if state is not None and state < UNKNOWN_STATE else None,
    )


def read_temperatures(
    nvml: Nvml, handle: Handle, fields: Mapping[str, float]
) -> dict[str, float | None]:
    core = nvml.ask("DeviceGetTemperatureV", handle, nvml.constant("NVML_TEMPERATURE_GPU"))
    if core is None:  # drivers before 575
        core = nvml.ask("DeviceGetTemperature", handle, nvml.constant("NVML_TEMPERATURE_GPU"))
    return {"core": _warm(core), "memory": _warm(fields.get("memory_temperature"))}


def read_throttled(
    nvml: Nvml, handle: Handle, fields: Mapping[str, float]
) -> dict[str, float | None]:
    """Seconds by reason. Both sources count nanoseconds."""
    seconds = {
        reason: fields[reason] / 1e9
        for reason in REASONS
        if reason in fields and fields[reason] < MOST_NANOSECONDS
    }
    for reason in POLICIES.keys() - seconds.keys():
        told = nvml.ask("DeviceGetViolationStatus", handle, nvml.constant(POLICIES[reason]))
        if told and told.violationTime < MOST_NANOSECONDS:
            seconds[reason] = told.violationTime / 1e9
    return dict(sorted(seconds.items()))


def read_health(
    nvml: Nvml,
    handle: Handle,
    fields: Mapping[str, float],
    read_rates: Callable[[Nvml, Handle], Rates],
) -> Health:
    """Raises: CardLost, DriverFailed."""
    failure, pending = _remap(nvml, handle)
    rates = read_rates(nvml, handle)
    action = fields.get("recovery_action")
    return Health(
        recovery_action=action if action is not None and action < 100 else None,
        ecc={
            severity: nvml.ask(
                "DeviceGetTotalEccErrors",
                handle,
                nvml.constant(f"NVML_MEMORY_ERROR_TYPE_{severity.upper()}"),
                nvml.constant("NVML_VOLATILE_ECC"),
            )
            for severity in ("corrected", "uncorrected")
        },
        remap_failure=failure,
        remap_pending=pending,
        replays=nvml.ask("DeviceGetPcieReplayCounter", handle),
        link_generation=_link(nvml, handle, "Generation"),
        link_width=_link(nvml, handle, "Width"),
        receive_rate=rates.receive,
        transmit_rate=rates.transmit,
    )


def read_rates(nvml: Nvml, handle: Handle) -> Rates:
    """Each call measures for 20 ms, so this is asked for with a flag.

    Source: nvmlDeviceGetPcieThroughput, in KB/s.
    """
    return Rates(*(_rate(nvml, handle, f"NVML_PCIE_UTIL_{end}_BYTES") for end in ("RX", "TX")))


def no_rates(_nvml: Nvml, _handle: Handle) -> Rates:
    return Rates()


def _rate(nvml: Nvml, handle: Handle, counter: str) -> float | None:
    told = nvml.ask("DeviceGetPcieThroughput", handle, nvml.constant(counter))
    return None if told is None else told * 1000.0


def _remap(nvml: Nvml, handle: Handle) -> tuple[float | None, float | None]:
    """(failure, pending). Cards before Ampere retire whole pages instead."""
    rows = nvml.ask("DeviceGetRemappedRows", handle)
    if rows is not None:
        return float(bool(rows[3])), float(bool(rows[2]))
    pages = nvml.ask("DeviceGetRetiredPagesPendingStatus", handle)
    return None, None if pages is None else float(bool(pages))


def _link(nvml: Nvml, handle: Handle, what: str) -> dict[str, float | None]:
    return {
        "current": nvml.ask(f"DeviceGetCurrPcieLink{what}", handle),
        "max": nvml.ask(f"DeviceGetMaxPcieLink{what}", handle),
    }


def _clocks(nvml: Nvml, call: str, handle: Handle) -> dict[str, float | None]:
    clocks = {
        "sm": nvml.ask(call, handle, nvml.constant("NVML_CLOCK_SM")),
        "memory": nvml.ask(call, handle, nvml.constant("NVML_CLOCK_MEM")),
    }
    return {domain: _megahertz(value) for domain, value in clocks.items()}


def _fan(nvml: Nvml, handle: Handle) -> float | None:
    speeds = [
        nvml.ask("DeviceGetFanSpeed_v2", handle, number)
        for number in range(nvml.ask("DeviceGetNumFans", handle) or 0)
    ] or [nvml.ask("DeviceGetFanSpeed", handle)]
    told = [speed / 100 for speed in speeds if speed is not None and speed <= 200]
    return max(told, default=None)


def _milli(value: int | None) -> float | None:
    """0xFFFFFFFF and more is a blank reading of a 32-bit value; energy has 64 bits."""
    return None if value is None or value in (0xFFFFFFFF, (1 << 64) - 1) else value / 1000


def _warm(celsius: float | None) -> float | None:
    """0 is what some cards without a sensor say."""
    return celsius if celsius is not None and 0 < celsius < HOTTEST else None


def _megahertz(value: int | None) -> float | None:
    """0 is what an RTX 3090 said while it changed its state."""
    return value * 1e6 if value is not None and 0 < value < 100_000 else None
