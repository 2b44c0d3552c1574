"""A Mac's GPU: what ioreg, sysctl and powermetrics print, and how they fail."""

import plistlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from dpl_exporter.collectors.gpu_apple import AppleCollector, parse_sysctl, read_cards
from dpl_exporter.collectors.gpu_card import Power
from dpl_exporter.collectors.gpu_powermetrics import PowerMetrics, parse_sample, samples
from dpl_exporter.errors import Failed, NoData
from tests.exporter.process import PATIENCE, running
from tests.exporter.values import Values, by, only, values_of
from tests.fakes.mac import MEMORY, STATISTICS, add_tools, ioreg, powermetrics


def mac(said: bytes, sysctl: str = f"hw.memsize: {MEMORY}\n") -> AppleCollector:
    def run(command: Sequence[str]) -> bytes:
        return said if command[0] == "ioreg" else sysctl.encode()

    return AppleCollector(lambda: read_cards(run))


def values(said: bytes) -> Values:
    return values_of(mac(said).collect())


def test_a_mac_tells_utilisation_and_memory() -> None:
    told = values(ioreg())

    (about,) = told["dpl_gpu_info"]
    assert dict(about) == {
        "gpu": "0",
        "name": "Apple M4 Pro",
        "vendor": "apple",
        "driver_version": "340.26.2",
    }
    assert only(told, "dpl_gpu_utilization_ratio") == 0.37
    assert only(told, "dpl_gpu_memory_used_bytes") == STATISTICS["In use system memory"]
    assert only(told, "dpl_gpu_memory_total_bytes") == MEMORY


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("hw.memsize: 1073741824\niogpu.wired_limit_mb: 512\n", 512 << 20),
        ("hw.memsize: 1073741824\niogpu.wired_limit_mb: 0\n", 1 << 30),
        ("hw.memsize: 1073741824\niogpu.wired_limit_mb: 4096\n", 1 << 30),
        ("hw.memsize: 1073741824\n", 1 << 30),
        ("sysctl: unknown oid 'hw.memsize'\n", None),
    ],
)
def test_the_gpu_may_have_the_limit_or_all_memory(said: str, expected: int | None) -> None:
    assert parse_sysctl(said) == expected


def test_statistics_that_are_not_there_are_absent() -> None:
    told = values(ioreg({"Device Utilization %": 1 << 62}))

    assert set(told) == {"dpl_gpu_info", "dpl_gpu_memory_total_bytes"}


def test_no_accelerator_or_no_mac_is_nothing_to_collect(tmp_path: Path) -> None:
    def no_tool(command: Sequence[str]) -> bytes:
        raise FileNotFoundError(command[0])

    for collector in (
        mac(b""),
        mac(plistlib.dumps([])),
        AppleCollector(lambda: read_cards(no_tool)),
    ):
        with pytest.raises(NoData):
            list(collector.collect())


@pytest.mark.parametrize(
    "said", [b"no plist", b"<plist><dict><key>a</key></dict></plist>", b"<?xml", b"bplist00\0"]
)
def test_what_is_no_property_list_is_a_failure(said: bytes) -> None:
    with pytest.raises(Failed, match="ioreg"):
        values(said)


def test_the_gpus_clock_is_in_megahertz_whatever_its_key_says() -> None:
    sample = parse_sample(powermetrics(megahertz=1360.85))

    assert sample.clock == 1360.85e6
    assert parse_sample(powermetrics(megahertz=1.36e9)).clock == 1.36e9
    assert (sample.joules, sample.watts) == (7.261, 7.09246)
    assert sample.pressed is False


@pytest.mark.parametrize("said", [b"", b"x", plistlib.dumps({}), plistlib.dumps([1])])
def test_what_is_no_sample_is_none(said: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any says it
        parse_sample(said)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_samples_are_found_however_the_bytes_come(size: int) -> None:
    stream = b"\0".join(powermetrics(n) + b"\n" for n in (1, 2, 3))
    pieces: Iterator[bytes] = iter(
        [*(stream[i : i + size] for i in range(0, len(stream), size)), b""]
    )

    found = [parse_sample(one).joules for one in samples(lambda: next(pieces))]

    assert found == [0.001, 0.002, 0.003]


def test_without_root_the_failure_says_what_to_do_and_the_rest_is_told() -> None:
    power = PowerMetrics(
        lambda: 0.0,
        lambda: subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.exit('powermetrics must be invoked as root')"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ),
    )
    collector = AppleCollector(
        lambda: read_cards(lambda command: ioreg() if command[0] == "ioreg" else b""), power.read
    )
    with suppress(Failed):  # it may have left already
        collector.collect()
    end = time.monotonic() + PATIENCE
    while any(thread.name == "powermetrics" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)

    with pytest.raises(Failed, match="root") as failure:
        collector.collect()
    assert only(values_of(failure.value.families), "dpl_gpu_utilization_ratio") == 0.37


def test_without_the_switch_powermetrics_is_not_started(tmp_path: Path) -> None:
    path = add_tools(tmp_path)
    (tmp_path / "powermetrics").write_text("#!/bin/sh\ntouch started\n")
    with running(tmp_path, "--no-collector.llm", PATH=path) as exporter:
        told = exporter.page()

    assert by(told, "dpl_gpu_info", "vendor") == {"apple": 1.0}
    assert "dpl_gpu_power_watts" not in told
    assert not (tmp_path / "started").exists()


def test_a_tool_that_hangs_hangs_no_page(tmp_path: Path) -> None:
    path = add_tools(tmp_path)
    with running(tmp_path, "--no-collector.llm", PATH=path) as exporter:
        exporter.page()
        (tmp_path / "ioreg").write_text("#!/bin/sh\nexec sleep 20\n")
        started = time.monotonic()
        told = exporter.page(frozenset({"gpu_apple"}))
        took = time.monotonic() - started

    assert took < PATIENCE
    assert only(told, "dpl_gpu_utilization_ratio") == 0.37, "the last one, for 30 s"


def test_power_belongs_to_the_first_gpu() -> None:
    cards = read_cards(lambda command: ioreg() if command[0] == "ioreg" else b"")
    told = values_of(AppleCollector(lambda: cards, lambda: Power(watts=3.0)).collect())

    assert by(told, "dpl_gpu_power_watts", "gpu") == {"0": 3.0}
