"""A real Prometheus that scrapes a simulated fleet with our rules."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from dpl_router.server import bound
from dpl_router.settings import Address
from tests.fakes.programs import ROOT, find_program

START = 60.0
JOBS = ("dpl-exporter", "dpl-router", "vllm")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two scrapes, and between two evaluations of every rule; None: as it lies."""

    scrape: float
    rules: float | None


QUICK = Pace(scrape=1.0, rules=1.0)
"""For tests that look at values; `for:` of alerts stays as it is."""


@contextmanager
def running_fleet(nodes: int, seed: int = 1) -> Iterator[str]:
    """Its host and port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.fleet", f"--nodes={nodes}", f"--seed={seed}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with ending(process):
        assert process.stdout is not None
        overdue = threading.Timer(START, process.kill)
        overdue.start()
        try:
            said = process.stdout.readline()
        finally:
            overdue.cancel()
        if not said.startswith("ready "):
            raise RuntimeError(f"the fleet did not start; it said {said!r}")
        yield said.split()[1]


@contextmanager
def running_prometheus(folder: Path, fleet: str, pace: Pace = QUICK) -> Iterator[str]:
    """Its address; ready, but what it scrapes comes later."""
    file = folder / "prometheus.yml"
    with bound(Address("127.0.0.1", 0)) as free:
        here = "{}:{}".format(*free.getsockname()[:2])
    file.write_text(yaml.safe_dump(configuration(folder, fleet, here, pace)), encoding="utf-8")
    process = subprocess.Popen(
        [
            find_program("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={here}",
            "--enable-feature=exemplar-storage",
            "--log.level=error",
        ]
    )
    with ending(process):
        wait_for(f"http://{here}/-/ready")
        yield f"http://{here}"


@contextmanager
def ending(process: subprocess.Popen[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def configuration(folder: Path, fleet: str, here: str, pace: Pace) -> dict[str, Any]:
    """`fleet` and `here` are host:port of the simulator and of this Prometheus."""
    rules = folder / "rules"
    rules.mkdir()
    for file in (ROOT / "prometheus" / "rules").glob("*.rules.yml"):
        (rules / file.name).write_text(paced(file.read_text("utf-8"), pace), encoding="utf-8")
    scraped = [
        {"job_name": job, "http_sd_configs": [{"url": f"http://{fleet}/sd/{job}"}]} for job in JOBS
    ]
    itself = {"job_name": "prometheus", "static_configs": [{"targets": [here]}]}
    return {
        "global": {
            "scrape_interval": f"{pace.scrape:g}s",
            "scrape_timeout": f"{pace.scrape:g}s",
            "evaluation_interval": f"{pace.rules or pace.scrape:g}s",
        },
        "rule_files": [f"{rules}/*.rules.yml"],
        "scrape_configs": [*scraped, itself],
    }


def paced(rules: str, pace: Pace) -> str:
    """The load group goes with the scrapes, and looks back three of them, as its file says."""
    if pace.rules is not None:
        return re.sub(r"(?m)^( +interval:) \w+", rf"\1 {pace.rules:g}s", rules)
    slower = re.sub(r"(?m)^( +interval:) 5s", rf"\1 {pace.scrape:g}s", rules)
    return slower.replace("[15s]", f"[{3 * pace.scrape:g}s]")


def wait_for(url: str) -> None:
    """Raises: TimeoutError."""
    end = time.monotonic() + START
    while time.monotonic() < end:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"{url} did not answer in {START:g} s")
