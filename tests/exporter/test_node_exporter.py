"""`--compat=node_exporter` beside the real program, and under our own rules."""

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from tests.exporter.process import PATIENCE, Running, running
from tests.exporter.values import Values, only, values_of, values_on
from tests.fakes.programs import ROOT, find_program

COMPAT = ("--compat=node_exporter", "--no-collector.llm", "--network-ignore", "(?!)")
EVERYTHING = (
    "--collector.filesystem.fs-types-exclude=^$",
    "--collector.filesystem.mount-points-exclude=^$",
)
"""A container's root is an overlay, which node_exporter leaves out otherwise."""
STANDS_STILL = (
    *("node_boot_time_seconds", "node_filesystem_files", "node_filesystem_readonly"),
    *("node_filesystem_size_bytes", "node_memory_MemTotal_bytes", "node_uname_info"),
)
GOES_ON = (
    "node_cpu_seconds_total",
    "node_disk_read_bytes_total",
    "node_network_receive_bytes_total",
)


@pytest.fixture(scope="module")
def compat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("compat"), *COMPAT) as exporter:
        exporter.page()
        yield exporter


@contextmanager
def real_page() -> Iterator[str]:
    """Of the real node_exporter, on this machine and now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [find_program("node_exporter"), f"--web.listen-address={address}", *EVERYTHING]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield fetched(f"http://{address}/metrics")
    finally:
        process.kill()
        process.wait(PATIENCE)


def fetched(url: str) -> str:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < end, f"nobody answers at {url}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def real() -> Iterator[str]:
    with real_page() as page:
        yield page


def families(page: str) -> Mapping[str, Metric]:
    """Those of node_exporter, by name."""
    found = text_string_to_metric_families(page)
    return {one.name: one for one in found if one.name.startswith("node_")}


def words_of(family: Metric) -> tuple[str, str, set[str]]:
    """Kind, help, and labels that say something: to Prometheus an empty one is none."""
    named = {name for one in family.samples for name, value in one.labels.items() if value}
    return family.type, family.documentation, named


def meant(values: Values, name: str) -> dict[frozenset[tuple[str, str]], float]:
    return {
        frozenset((label, value) for label, value in key if value): number
        for key, number in values.get(name, {}).items()
    }


def test_every_family_is_one_of_the_real_program_with_its_kind_labels_and_help(
    compat: Running, real: str
) -> None:
    """What some machine lacks (pressure, a disk) neither of the two tells there."""
    ours, theirs = families(compat.metrics()), families(real)

    assert {name: words_of(one) for name, one in ours.items()} == {
        name: words_of(theirs[name]) for name in ours if name in theirs
    }
    assert {"node_cpu_seconds", "node_load1", "node_memory_Cached_bytes"} <= ours.keys()
    assert {"node_filesystem_avail_bytes", "node_network_receive_bytes"} <= ours.keys()


def test_values_are_those_of_the_real_program(compat: Running, real: str) -> None:
    before, after = values_on(real), values_on(compat.metrics())

    for name in STANDS_STILL:
        theirs = meant(before, name)
        assert {key: theirs.get(key) for key in meant(after, name)} == meant(after, name)
    for name in GOES_ON:
        theirs = meant(before, name)
        assert all(number > theirs[key] - 1 for key, number in meant(after, name).items())
    reclaimed = only(after, "node_memory_Cached_bytes"), only(before, "node_memory_Cached_bytes")
    assert reclaimed[0] == pytest.approx(reclaimed[1], rel=0.5)
    assert only(after, "node_time_seconds") == pytest.approx(time.time(), abs=60)


def test_without_the_flag_nothing_of_it_is_told_and_with_it_nothing_less(
    compat: Running, tmp_path: Path
) -> None:
    with running(tmp_path, *COMPAT[1:]) as plain:
        without = plain.page()
    both = compat.page()

    assert [name for name in without if name.startswith("node_")] == []
    assert {name: set(keys) for name, keys in both.items() if not name.startswith("node_")} == {
        name: set(keys) for name, keys in without.items()
    }


def test_a_page_with_both_is_well_formed_in_either_format(compat: Running) -> None:
    """promtool does not like node_exporter's own names of memory."""
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    strict = compat.call("GET", "/metrics", headers=accept).body.decode()
    checked = subprocess.run(
        [find_program("promtool"), "check", "metrics"],
        input=compat.metrics(),
        text=True,
        capture_output=True,
        timeout=30,
    )

    complaints = (checked.stdout + checked.stderr).splitlines()
    assert [line for line in complaints if not line.startswith("node_")] == []
    assert "node_load1" in values_of(read_openmetrics(strict))  # type: ignore[no-untyped-call]


def test_a_collector_that_is_switched_off_is_not_told_in_other_words(tmp_path: Path) -> None:
    with running(tmp_path, *COMPAT, "--no-collector.cpu") as exporter:
        values = exporter.page()

    assert "node_cpu_seconds_total" not in values
    assert "node_load1" in values


OWN_CPU, COMPAT_CPU = {"idle": "0+3x40", "user": "0+1x40"}, {"idle": "0+1x40", "user": "0+3x40"}
STANDS = {
    "dpl_node_memory_available_bytes": "60x40",
    "dpl_node_memory_total_bytes": "100x40",
    "node_memory_MemAvailable_bytes": "10x40",
    "node_memory_MemTotal_bytes": "100x40",
}


def series(families_of_page: Values, node: str) -> Iterator[dict[str, str]]:
    """As promtool takes them: both languages, each with a load of its own."""
    for name, keys in families_of_page.items():
        for key in keys:
            known = dict(key)
            if name in ("dpl_node_cpu_seconds_total", "node_cpu_seconds_total"):
                spent = OWN_CPU if name.startswith("dpl_") else COMPAT_CPU
                values = spent.get(known["mode"], "0x40")
            elif name in STANDS:
                values = STANDS[name]
            else:
                continue
            all_labels = {**known, "node": node, "instance": f"{node}:8001"}
            text = ",".join(f'{label}="{value}"' for label, value in all_labels.items())
            yield {"series": f"{name}{{{text}}}", "values": values}


def test_our_own_rules_count_such_a_node_once(compat: Running, tmp_path: Path) -> None:
    """By our own names; `bare`, which has node_exporter's alone, shows that the others are read."""
    page = compat.page()
    foreign = {name: keys for name, keys in page.items() if name.startswith("node_")}
    cpu, memory = (
        "node:dpl_node_cpu_utilization:ratio_rate1m",
        "node:dpl_node_memory_utilization:ratio",
    )
    expected = {cpu: {"bare": 0.75, "both": 0.25}, memory: {"bare": 0.9, "both": 0.4}}
    document = {
        "rule_files": [str(ROOT / "prometheus/rules/dpl-load.rules.yml")],
        "evaluation_interval": "5s",
        "tests": [
            {
                "interval": "5s",
                "input_series": [*series(page, "both"), *series(foreign, "bare")],
                "promql_expr_test": [
                    {
                        "expr": f"round({name}, 0.001)",
                        "eval_time": "2m",
                        "exp_samples": [
                            {"labels": f'{{node="{node}"}}', "value": value}
                            for node, value in nodes.items()
                        ],
                    }
                    for name, nodes in expected.items()
                ],
            }
        ],
    }
    file = tmp_path / "compat_test.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")

    ran = subprocess.run(
        [find_program("promtool"), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
