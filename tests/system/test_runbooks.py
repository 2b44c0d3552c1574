"""What a runbook tells people to type at Prometheus and Alertmanager is taken by real ones."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.runbooks import read_runbooks
from tests.fakes.programs import find_program
from tests.system.alerting import alertmanager, prometheus

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PROGRAMS = ("promtool", "amtool")


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Those that the runbooks write -> those of this test."""
    folder = tmp_path_factory.mktemp("runbooks")
    with alertmanager(folder, ROOT / "alertmanager" / "alertmanager.yml") as manager:
        with prometheus(folder, ROOT / "prometheus" / "prometheus.yml") as address:
            yield {"127.0.0.1:9090": address, "127.0.0.1:9093": manager}


def test_prometheus_and_alertmanager_take_every_command(addresses: dict[str, str]) -> None:
    lines = sorted({line for book in read_runbooks() for line in book.commands})
    wrong = []
    for line in lines:
        program = line.split()[0]
        if program in PROGRAMS:
            typed = line.replace(program, shlex.quote(find_program(program)), 1)
            for told, here in addresses.items():
                typed = typed.replace(told, here)
            done = subprocess.run(
                ["bash", "-c", typed],
                cwd=ROOT,
                env={**os.environ, "HOME": str(ROOT / "nowhere")},  # no settings of a person
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            if done.returncode != 0:
                wrong.append(f"{line}\n  {done.stdout}{done.stderr}")

    assert not wrong, "\n".join(wrong)
