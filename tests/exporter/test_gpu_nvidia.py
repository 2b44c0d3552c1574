"""The real exporter and the real binding of NVML, with a library that has no GPU behind it."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.exporter.gpu_platforms import sleeper
from tests.exporter.process import PATIENCE, Running, running
from tests.exporter.values import Values, by, labels, only, values_on
from tests.fakes.llm_status import ollama_answers, say, status_server
from tests.fakes.nvml.gpus import H100_MIG, RTX_4090, FakeGpus

GPU = "gpu_nvidia"
SUCCESS = "dpl_exporter_collector_success"
SECOND = {**RTX_4090, "uuid": "GPU-2", "memory": "8000000000 0 1000000000"}
FAILING = frozenset({GPU})


@contextmanager
def exporter_with(
    folder: Path, *cards: Mapping[str, object], flags: tuple[str, ...] = ("--no-collector.llm",)
) -> Iterator[tuple[Running, FakeGpus]]:
    gpus = FakeGpus(folder, *cards)
    with running(folder, *flags, DPL_SYSFS=str(folder / "none"), **gpus.environ) as exporter:
        yield exporter, gpus


def until(exporter: Running, ready: Callable[[Values], bool]) -> Values:
    """The first page that is so."""
    end = time.monotonic() + PATIENCE
    while not ready(values := values_on(exporter.metrics())):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)
    return values


def gpu_names(values: Values) -> list[str]:
    return sorted(by(values, "dpl_gpu_info", "gpu"))


def health(values: Values) -> float | None:
    return by(values, SUCCESS, "collector").get(GPU)


def test_nvml_is_started_once_and_held(tmp_path: Path) -> None:
    """A start takes seconds on a machine without persistence mode."""
    with exporter_with(tmp_path, RTX_4090) as (exporter, gpus):
        pages = [exporter.page() for _ in range(4)]

        assert [gpu_names(page) for page in pages] == [["0"]] * 4
        assert gpus.starts() == ["init"]


@pytest.mark.parametrize(
    "facts", [{"init": "!9"}, {"init": "!28"}, {"cards": 0}], ids=["driver", "found", "cards"]
)
def test_without_a_driver_or_a_card_there_is_no_collector(
    tmp_path: Path, facts: dict[str, object]
) -> None:
    gpus = FakeGpus(tmp_path, RTX_4090)
    gpus.say(facts)
    with running(tmp_path, "--no-collector.llm", **gpus.environ) as exporter:
        values = exporter.page()

    assert health(values) is None
    assert not [name for name in values if name.startswith("dpl_gpu_")]


def test_a_driver_that_was_updated_under_us_is_a_failure_from_the_start(tmp_path: Path) -> None:
    """The library no longer fits the module of the kernel: there are cards, but we see none."""
    gpus = FakeGpus(tmp_path, RTX_4090)
    gpus.say({"init": "!18"})
    with running(tmp_path, "--no-collector.llm", **gpus.environ) as exporter:
        values = exporter.page(FAILING)

    assert health(values) == 0.0


def test_a_start_that_takes_long_delays_no_page(tmp_path: Path) -> None:
    gpus = FakeGpus(tmp_path, RTX_4090)
    gpus.say({"hang": "nvmlInitWithFlags"})
    with running(tmp_path, "--no-collector.llm", **gpus.environ) as exporter:
        before = exporter.page(FAILING)
        gpus.say({"hang": None})
        after = exporter.page()

    assert "dpl_gpu_info" not in before
    assert only(before, "dpl_node_memory_total_bytes") > 0
    assert gpu_names(after) == ["0"]


def test_a_call_that_hangs_hangs_no_page_and_no_other_collector(tmp_path: Path) -> None:
    with exporter_with(tmp_path, RTX_4090, SECOND) as (exporter, gpus):
        before = exporter.page()
        gpus.say({"hang": "nvmlDeviceGetPowerUsage"})
        started = time.monotonic()
        during = [exporter.page(FAILING) for _ in range(3)]
        took = time.monotonic() - started
        gpus.say({"hang": None})
        after = exporter.page()

    assert took < PATIENCE
    for values in during:
        assert by(values, SUCCESS, "collector")["memory"] == 1.0
        assert values["dpl_gpu_info"] == before["dpl_gpu_info"], "the last ones, for 30 s"
    assert gpu_names(after) == ["0", "1"]


def test_a_card_that_is_lost_goes_alone_and_comes_back(tmp_path: Path) -> None:
    """No failure, since the driver answers: DplGpuMissing looks at what is left."""
    with exporter_with(tmp_path, RTX_4090, SECOND) as (exporter, gpus):
        exporter.page()
        gpus.say({"0.lost": 1})
        without = exporter.page()
        gpus.say({"0.lost": None})
        back = exporter.page()

    assert gpu_names(without) == ["1"]
    assert by(without, "dpl_gpu_power_watts", "gpu") == {"1": 220.5}
    assert health(without) == 1.0
    assert gpu_names(back) == ["0", "1"]


def test_the_last_card_may_go_too(tmp_path: Path) -> None:
    with exporter_with(tmp_path, RTX_4090) as (exporter, gpus):
        exporter.page()
        gpus.say({"0.lost": 1})
        lost = exporter.page()
        gpus.say({"cards": 0, "0.lost": None})
        fewer = exporter.page()

    for values in (lost, fewer):
        assert health(values) == 1.0
        assert "dpl_gpu_info" not in values


def test_a_driver_that_goes_is_a_failure_and_is_opened_anew(tmp_path: Path) -> None:
    with exporter_with(tmp_path, RTX_4090) as (exporter, gpus):
        exporter.page()
        gpus.say({"gone": 1})
        gone = exporter.page(FAILING)
        gpus.say({"gone": None})
        back = exporter.page()
        starts = gpus.starts()

    assert health(gone) == 0.0
    assert gpu_names(back) == ["0"]
    assert starts[:2] == ["init", "shutdown"]
    assert starts[-1] == "init"


def test_a_card_that_answers_nonsense_fails_and_the_others_go_on(tmp_path: Path) -> None:
    with exporter_with(tmp_path, RTX_4090, SECOND) as (exporter, gpus):
        exporter.page()
        gpus.say({"0.memory": "!999", "1.power": 99000})
        values = exporter.page(FAILING)

    assert gpu_names(values) == ["1"]
    assert by(values, "dpl_gpu_power_watts", "gpu") == {"1": 99.0}


def test_an_error_of_a_card_is_counted_and_stays_when_the_card_goes(tmp_path: Path) -> None:
    """Xid 79 is: fallen off the bus."""
    with exporter_with(tmp_path, RTX_4090, SECOND) as (exporter, gpus):
        before = exporter.page()
        for number in (1, 2):
            gpus.raise_xid(number, card=1, xid=79)
            until(exporter, lambda v, n=number: n in v.get("dpl_gpu_xid_errors_total", {}).values())  # type: ignore[misc]
        gpus.say({"1.lost": 1, "hang": "nvmlDeviceGetCount_v2"})
        after = exporter.page(FAILING)
        now = time.time()

    key = labels(gpu="1", xid="79")
    assert "dpl_gpu_xid_errors_total" not in before
    assert after["dpl_gpu_xid_errors_total"] == {key: 2.0}
    assert now - 60 < after["dpl_gpu_xid_last_timestamp_seconds"][key] <= now


def test_what_a_card_does_not_tell_is_absent(tmp_path: Path) -> None:
    with exporter_with(tmp_path, {"name": "A card", "memory": "1000 0 10"}) as (exporter, _):
        values = exporter.page()

    told = {name for name in values if name.startswith("dpl_gpu_")}
    assert told == {
        "dpl_gpu_info",
        "dpl_gpu_memory_total_bytes",
        "dpl_gpu_memory_used_bytes",
        "dpl_gpu_memory_reserved_bytes",
    }


def test_a_reading_of_energy_that_fails_once_is_absent_once(tmp_path: Path) -> None:
    energy = "dpl_gpu_energy_joules_total"
    with exporter_with(tmp_path, RTX_4090) as (exporter, gpus):
        before = exporter.page()
        gpus.say({"0.energy": None})
        during = until(exporter, lambda values: energy not in values)
        gpus.say({"0.energy": 123457789})
        after = until(exporter, lambda values: energy in values)

    assert [by(page, energy, "gpu") for page in (before, during, after)] == [
        {"0": 123456.789},
        {},
        {"0": 123457.789},
    ]


def test_a_blank_reading_is_absent_though_it_looks_like_a_number(tmp_path: Path) -> None:
    blanks = {
        "memory": "9223372036854775794 9223372036854775794 9223372036854775794",
        "power": 0xFFFFFFFF,
        "energy": (1 << 64) - 1,
        "temperature": 0,
        "field.82": "u 0",
        "field.270": "l 9223372036854775794",
        "field.230": "u 4294967280",
        "rates": "4294967295 4294967295",
        "samples": "1000:4294967295",
        "clock.1": 0xFFFFFFFF,
        "clock_max.1": 0,
        "pstate": 32,
        "fan.0": 0xFFFFFFFF,
        "fan.1": 0xFFFFFFFF,
    }
    with exporter_with(tmp_path, {**RTX_4090, **blanks}) as (exporter, _):
        values = exporter.page()

    for name in ("utilization_ratio", "memory_copy_utilization_ratio", "memory_total_bytes",
                 "memory_used_bytes", "memory_reserved_bytes", "power_watts", "temperature_celsius",
                 "energy_joules_total", "recovery_action", "performance_state",
                 "fan_speed_ratio"):  # fmt: skip
        assert f"dpl_gpu_{name}" not in values
    assert "hw_thermal" not in by(values, "dpl_gpu_throttled_seconds_total", "reason")
    for name in ("clock", "clock_max"):
        assert by(values, f"dpl_gpu_{name}_hertz", "domain") == {"memory": 10501e6}


def test_an_old_driver_is_asked_in_its_own_words(tmp_path: Path) -> None:
    facts = {key: RTX_4090[key] for key in ("name", "memory", "power")} | {
        "temperature_old.0": 55,
        "throttle_reasons": 0x40,
        "violation.1": 3_000_000_000,
        "retired_pending": 1,
        "fan": 30,
    }
    gpus = FakeGpus(tmp_path, facts)
    gpus.say({"old_memory": 1})
    with running(tmp_path, "--no-collector.llm", **gpus.environ) as exporter:
        values = exporter.page()

    assert only(values, "dpl_gpu_memory_used_bytes") == 11000000000 + 458752000
    assert "dpl_gpu_memory_reserved_bytes" not in values
    assert by(values, "dpl_gpu_temperature_celsius", "sensor") == {"core": 55.0}
    assert by(values, "dpl_gpu_clock_event_active", "reason")["hw_thermal"] == 1.0
    assert by(values, "dpl_gpu_throttled_seconds_total", "reason") == {"sw_thermal": 3.0}
    assert only(values, "dpl_gpu_row_remap_pending") == 1.0
    assert only(values, "dpl_gpu_fan_speed_ratio") == 0.3


def test_a_chip_in_the_machines_memory_has_that_memory(tmp_path: Path) -> None:
    """A DGX Spark (GB10) does not support the question."""
    with exporter_with(tmp_path, {"name": "NVIDIA GB10", "rates": "5 0"}) as (exporter, _):
        values = exporter.page()

    assert only(values, "dpl_gpu_memory_total_bytes") == psutil.virtual_memory().total
    assert only(values, "dpl_gpu_utilization_ratio") == 0.05


def test_memory_that_only_root_may_see_is_absent(tmp_path: Path) -> None:
    with exporter_with(tmp_path, {**H100_MIG, "memory": "!4"}) as (exporter, _):
        values = exporter.page()

    assert "dpl_gpu_memory_total_bytes" not in values
    assert by(values, "dpl_gpu_mig_memory_used_bytes", "gpu_instance") == {"1": 13e9, "5": 30e6}


def test_foreign_memory_is_of_processes_that_are_no_model_server(tmp_path: Path) -> None:
    gib = 1 << 30
    with sleeper(tmp_path, "ollama") as llm, sleeper(tmp_path, "game") as game:
        both = f"{game}:{gib}"
        card = {**RTX_4090, "compute": f"{llm}:{9 * gib} {both}", "graphics": both}
        with exporter_with(tmp_path, card) as (exporter, gpus):
            told = exporter.page()
            gpus.say({"0.graphics": "", "0.compute": f"{llm}:- {game}:-"})
            untold = exporter.page()
            gpus.say({"0.compute": "2147483646:5"})
            unseen = exporter.page()

    assert by(told, "dpl_gpu_processes", "kind") == {"llm": 1.0, "other": 1.0}
    assert only(told, "dpl_gpu_foreign_memory_used_bytes") == gib
    assert by(untold, "dpl_gpu_processes", "kind") == {"llm": 1.0, "other": 1.0}
    assert "dpl_gpu_foreign_memory_used_bytes" not in untold
    assert "dpl_gpu_processes" not in unseen


def test_status_lists_the_cards(tmp_path: Path) -> None:
    with exporter_with(tmp_path, RTX_4090) as (exporter, _):
        exporter.page()
        document = exporter.call("GET", "/status").json()

    assert document["gpu"] == [
        {
            "gpu": "0",
            "name": "NVIDIA GeForce RTX 4090",
            "percent": 60.0,
            "memory": {"percent": 42.71, "total_bytes": 25757220864.0, "used_bytes": 11e9},
            "temperature_celsius": 61,
            "power_watts": 220.5,
        }
    ]


def test_two_full_cards_and_twenty_models_keep_to_the_budgets(tmp_path: Path) -> None:
    full = {**H100_MIG, **RTX_4090, "field.82": "u 70"}
    names = [f"model-{i}:latest" for i in range(20)]
    models = [{"name": name, "digest": f"{i:064x}", "size": 1} for i, name in enumerate(names)]
    answers = ollama_answers() | {
        "/api/tags": say({"models": models}),
        "/api/ps": say({"models": []}),
    }
    with status_server(answers) as llm:
        with exporter_with(tmp_path, full, full, flags=("--llm-url", llm.url)) as (exporter, _):
            exporter.page()
            values = exporter.page()
            memory = psutil.Process(exporter.process.pid).memory_info().rss

    assert len(values["dpl_llm_model_loaded"]) == 20
    assert sum(len(series) for series in values.values()) < 400
    assert memory < 48 * 2**20


def test_the_binding_is_not_loaded_before_it_is_needed() -> None:
    """It costs 3 MB and some 20 ms, and most machines have no NVIDIA card."""
    asked = "import dpl_exporter.cli, sys; print('pynvml' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=30)

    assert said.stdout == "False\n"
