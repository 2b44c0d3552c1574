"""A real card's answers, played to a real exporter by the fake NVML; and pages that the exporter
wrote beside that card, against what nvidia-smi said in the same tenth of a second.

Each recording is a card of its own, so that one exporter reads them all.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.exporter.gpu_platforms import sleeper
from tests.exporter.process import running
from tests.exporter.values import Values, by, values_on
from tests.fakes.nvml.gpus import FakeGpus

H200 = Path(__file__).parents[1] / "recordings" / "nvidia" / "h200-580"
RECORDINGS = sorted((H200 / "nvml").glob("*.json"))
PAGES = sorted((H200 / "pages").glob("*.csv"))
MIB = 1 << 20

PLAIN = {
    "nvmlDeviceGetName": "name",
    "nvmlDeviceGetPowerUsage": "power",
    "nvmlDeviceGetEnforcedPowerLimit": "power_limit",
    "nvmlDeviceGetTotalEnergyConsumption": "energy",
    "nvmlDeviceGetPerformanceState": "pstate",
    "nvmlDeviceGetCurrentClocksEventReasons": "reasons",
    "nvmlDeviceGetPcieReplayCounter": "replays",
    "nvmlDeviceGetCurrPcieLinkGeneration": "link_generation",
    "nvmlDeviceGetMaxPcieLinkGeneration": "link_generation_max",
    "nvmlDeviceGetCurrPcieLinkWidth": "link_width",
    "nvmlDeviceGetMaxPcieLinkWidth": "link_width_max",
    "nvmlDeviceGetNumFans": "fans",
    "nvmlDeviceGetFanSpeed": "fan",
    "nvmlDeviceGetSupportedEventTypes": "event_types",
    "nvmlDeviceGetTemperatureV": "temperature",
}
"""The fake's word for what a call answers with one value."""
CHOSEN = {
    "nvmlDeviceGetClockInfo": "clock",
    "nvmlDeviceGetMaxClockInfo": "clock_max",
    "nvmlDeviceGetTemperatureThreshold": "threshold",
    "nvmlDeviceGetPcieThroughput": "throughput",
    "nvmlDeviceGetTotalEccErrors": "ecc",
}
"""Likewise, with the call's first argument behind it."""
FIELD_TYPES = {1: "u", 3: "l"}
NO_FACTS = {
    "nvmlDeviceGetCount",
    "nvmlDeviceGetHandleByIndex",
    "nvmlDeviceGetUUID",
    "nvmlDeviceRegisterEvents",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetCudaDriverVersion_v2",
}
"""What the fake answers for all cards; the identity is set by the test."""
SMI = {
    "temperature.gpu": ("dpl_gpu_temperature_celsius", "core", 1.0),
    "temperature.memory": ("dpl_gpu_temperature_celsius", "memory", 1.0),
    "utilization.memory": ("dpl_gpu_memory_copy_utilization_ratio", "", 0.01),
    "memory.total": ("dpl_gpu_memory_total_bytes", "", MIB),
    "memory.reserved": ("dpl_gpu_memory_reserved_bytes", "", MIB),
    "memory.used": ("dpl_gpu_memory_used_bytes", "", MIB),
    "power.draw": ("dpl_gpu_power_watts", "", 1.0),
    "enforced.power.limit": ("dpl_gpu_power_limit_watts", "", 1.0),
    "clocks.current.sm": ("dpl_gpu_clock_hertz", "sm", 1e6),
    "clocks.current.memory": ("dpl_gpu_clock_hertz", "memory", 1e6),
    "clocks.max.sm": ("dpl_gpu_clock_max_hertz", "sm", 1e6),
    "clocks.max.memory": ("dpl_gpu_clock_max_hertz", "memory", 1e6),
    "pstate": ("dpl_gpu_performance_state", "", 1.0),
    "pcie.link.gen.current": ("dpl_gpu_pcie_link_generation", "current", 1.0),
    "pcie.link.gen.max": ("dpl_gpu_pcie_link_generation", "max", 1.0),
    "pcie.link.width.current": ("dpl_gpu_pcie_link_width", "current", 1.0),
    "pcie.link.width.max": ("dpl_gpu_pcie_link_width", "max", 1.0),
    "ecc.errors.corrected.volatile.total": ("dpl_gpu_ecc_errors_total", "corrected", 1.0),
    "ecc.errors.uncorrected.volatile.total": ("dpl_gpu_ecc_errors_total", "uncorrected", 1.0),
    **{
        f"clocks_event_reasons_counters.{theirs}": ("dpl_gpu_throttled_seconds_total", ours, 1e-6)
        for theirs, ours in {
            "sw_power_cap": "sw_power",
            "sync_boost": "sync_boost",
            "sw_thermal_slowdown": "sw_thermal",
            "hw_thermal_slowdown": "hw_thermal",
            "hw_power_brake_slowdown": "hw_power_brake",
        }.items()
    },
}
"""nvidia-smi's reading: our family, the value of its second label, its unit in ours."""
ROUNDED = {"power.draw": 0.006, "memory.total": MIB, "memory.reserved": MIB, "memory.used": MIB}
"""What nvidia-smi's digits leave open, in our units; elsewhere a millionth."""

Card = Mapping[str, Any]


def facts_of(recording: Card, index: int, pids: Mapping[int, int]) -> dict[str, object]:
    """Lines of the fake for what this card answered; `pids` of processes that live here."""
    facts: dict[str, object] = {"uuid": f"GPU-{index:08}"}
    for call in recording["calls"]:
        if call["call"] not in NO_FACTS:
            facts |= _facts(call, pids)
    return facts


def _facts(call: Card, pids: Mapping[int, int]) -> dict[str, object]:
    name, arguments = call["call"], call["arguments"]
    if name in PLAIN or name in CHOSEN:
        key = PLAIN.get(name) or f"{CHOSEN[name]}.{arguments[0]}"
        return {key: f"!{call['error']}" if "error" in call else call["answer"]}
    made: dict[str, object] = _STRUCTURES[name](call["answer"], pids)
    return made


def _processes(key: str, answer: Sequence[Card], pids: Mapping[int, int]) -> dict[str, object]:
    return {key: " ".join(f"{pids[one['pid']]}:{one['usedGpuMemory']}" for one in answer)}


_STRUCTURES: Mapping[str, Any] = {
    "nvmlDeviceGetPciInfo": lambda a, _: {"pci": a["busId"]},
    "nvmlDeviceGetUtilizationRates": lambda a, _: {"rates": f"{a['gpu']} {a['memory']}"},
    "nvmlDeviceGetMemoryInfo": lambda a, _: {"memory": f"{a['total']} {a['reserved']} {a['used']}"},
    "nvmlDeviceGetSamples": lambda a, _: {"samples": " ".join(f"{at}:{v}" for at, v in a[1])},
    "nvmlDeviceGetFieldValues": lambda a, _: {
        f"field.{one['fieldId']}": f"{FIELD_TYPES[one['valueType']]} {one['raw']}"
        for one in a
        if not one["nvmlReturn"]
    },
    "nvmlDeviceGetRemappedRows": lambda a, _: {"remapped": " ".join(map(str, a))},
    "nvmlDeviceGetMigMode": lambda a, _: {"mig": a[0]},
    "nvmlDeviceGetComputeRunningProcesses": lambda a, pids: _processes("compute", a, pids),
    "nvmlDeviceGetGraphicsRunningProcesses": lambda a, pids: _processes("graphics", a, pids),
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Values]]:
    """The page by recording, without the label `gpu`."""
    folder = tmp_path_factory.mktemp("recorded")
    cards = [json.loads(file.read_text("utf-8")) for file in RECORDINGS]
    with ExitStack() as stack:
        facts = []
        for index, card in enumerate(cards):
            place = folder / str(index)
            place.mkdir()
            pids = {
                int(pid): stack.enter_context(sleeper(place, name))
                for pid, name in card["processes"].items()
            }
            facts.append(facts_of(card, index, pids))
        gpus = FakeGpus(folder, *facts)
        gpus.say({"driver": "580.159.04", "cuda": 13000})
        flags = ("--no-collector.llm", "--gpu-pcie-throughput")
        exporter = stack.enter_context(running(folder, *flags, **gpus.environ))
        page = exporter.page()
        yield {file.stem: _card(page, str(index)) for index, file in enumerate(RECORDINGS)}


def _card(page: Values, gpu: str) -> Values:
    """What the page says of one card."""
    return {
        name: {key - {("gpu", gpu)}: value for key, value in series.items() if ("gpu", gpu) in key}
        for name, series in page.items()
        if any(("gpu", gpu) in key for key in series)
    }


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.stem)
def test_a_real_cards_answers_make_the_page_that_it_made(
    file: Path, played: dict[str, Values]
) -> None:
    told: Values = {}
    for name, labels, value in json.loads(file.read_text("utf-8"))["series"]:
        told.setdefault(name, {})[frozenset(labels.items())] = value
    found = dict(played[file.stem])
    about, recorded = (dict(next(iter(page.pop("dpl_gpu_info")))) for page in (found, told))

    assert found == told
    assert about | {"uuid": ""} == recorded | {"uuid": ""}


def test_a_list_of_processes_that_cannot_be_whole_is_not_believed(
    played: dict[str, Values],
) -> None:
    """The exporter in a container of its own: 5 GB are in use, and NVML lists nobody."""
    hidden, seen = played["other-pid-namespace"], played["not-root"]

    assert hidden["dpl_gpu_memory_used_bytes"] == seen["dpl_gpu_memory_used_bytes"]
    assert by(seen, "dpl_gpu_processes", "kind") == {"llm": 1.0, "other": 1.0}
    assert not {"dpl_gpu_processes", "dpl_gpu_foreign_memory_used_bytes"} & set(hidden)


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_a_page_beside_a_real_card_said_what_nvidia_smi_said(file: Path) -> None:
    """The two lines of nvidia-smi were read just before and just after the page."""
    page = values_on(file.with_suffix(".prom").read_text("utf-8"))
    with file.open(encoding="utf-8") as lines:
        before, after = csv.DictReader(lines, skipinitialspace=True)
    said = {re.sub(r" \[.*\]", "", key): (before[key], after[key]) for key in before}
    wrong = [
        f"{reading}: {value} is not {said[reading]}"
        for reading, (name, label, unit) in SMI.items()
        if not _between(value := _value(page, name, label), said[reading], unit, reading)
    ]

    assert wrong == []
    flag = any(page["dpl_gpu_clock_event_active"].values())
    assert flag == (int(before["clocks_event_reasons.active"], 16) & 0xF4 != 0)


def _value(page: Values, name: str, label: str) -> float:
    (value,) = (
        value for key, value in page[name].items() if not label or label in dict(key).values()
    )
    return value


def _between(value: float, said: tuple[str, str], unit: float, reading: str) -> bool:
    numbers = [float(re.findall(r"[\d.]+", text)[0]) * unit for text in said]
    slack = ROUNDED.get(reading, 1e-6)
    return min(numbers) - slack <= value <= max(numbers) + slack


def test_traffic_to_the_card_is_what_it_receives() -> None:
    """nvidia-smi's Rx; 55 GB a second were copied each way."""
    for page, busy, quiet in (("to", "receive", "transmit"), ("from", "transmit", "receive")):
        values = values_on((H200 / "pages" / f"copy-{page}-card.prom").read_text("utf-8"))
        (most,) = values[f"dpl_gpu_pcie_{busy}_bytes_per_second"].values()
        (least,) = values[f"dpl_gpu_pcie_{quiet}_bytes_per_second"].values()

        assert 55e9 < most < 64e9
        assert least < 6e9
