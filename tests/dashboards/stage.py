"""A Prometheus that scrapes a simulated fleet, an Alertmanager, and what they answer."""

import math
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from dpl_router.server import bound
from dpl_router.settings import Address
from tests.dashboards import boards
from tests.dashboards.boards import Board, Query
from tests.fakes.fleet_prometheus import QUICK, configuration, ending, running_fleet, wait_for
from tests.fakes.programs import find_program
from tests.system.alerting import alertmanager, stage

NODES = 20
SHOWN = 30
"""Seconds of time shown."""
LIVE: Mapping[str, str] = {
    **boards.VALUES,
    "__rate_interval": "8s",
    "__range": f"{SHOWN}s",
    "__interval": "1s",
    "__interval_ms": "1000",
}
# Told again and again: else a slow machine looks when nothing was sent for the time shown.
TELL: Mapping[str, Any] = {
    "route": {
        "receiver": "router",
        "group_wait": "0s",
        "group_interval": "1s",
        "repeat_interval": "2s",
    },
    "inhibit_rules": [{"source_matchers": ["severity=critical"], "equal": ["node"]}],
}


@dataclass(frozen=True, slots=True)
class Live:
    """Prometheus's answers."""

    url: str
    client: httpx.Client
    now: Callable[[], float] = time.time

    def ask(self, query: Query, values: Mapping[str, str]) -> list[dict[str, Any]]:
        """Series, each with `values`. Raises: AssertionError with Prometheus's own words."""
        now = self.now()
        asked: dict[str, Any] = {"query": query.filled(values)}
        if query.at_once:
            kind, asked["time"] = "query", now
        else:
            kind = "query_range"
            seconds = float(values["__range"].removesuffix("s"))
            asked |= {"start": now - seconds, "end": now, "step": max(1.0, seconds / 120)}
        said = self.client.post(f"{self.url}/api/v1/{kind}", data=asked)
        assert said.status_code == 200, f"{query.where}: {said.text} for {asked['query']}"
        found: list[dict[str, Any]] = said.json()["data"]["result"]
        return [
            {"values": [series["value"]], **series} if query.at_once else series for series in found
        ]

    def labels(self, query: Query, label: str) -> list[str]:
        """Values of `label` over the series that `query` selects."""
        matched = {"match[]": query.filled(LIVE)}
        said = self.client.get(f"{self.url}/api/v1/label/{label}/values", params=matched)
        assert said.status_code == 200, said.text
        found: list[str] = said.json()["data"]
        return found


def without_data(live: Live, board: Board) -> dict[str, str]:
    """Where -> what is wrong with the answer, over all panels, annotations and variables."""
    wrong = {}
    for query in boards.queries(board):
        values = dict(LIVE)
        if panel_of(board, query).get("timeFrom"):
            values["__range"] = panel_of(board, query)["timeFrom"]
        found = live.ask(query, values)
        if not found:
            wrong[query.where] = f"nothing for {query.filled(values)}"
        elif any(math.isnan(float(series["values"][-1][1])) for series in found):
            wrong[query.where] = f"NaN for {query.filled(values)}"
    for query, label in boards.listed(board):
        if not live.labels(query, label):
            wrong[query.where] = f"no {label} of {query.filled(LIVE)}"
    return wrong


def panel_of(board: Board, query: Query) -> Mapping[str, Any]:
    return next((p for p in boards.panels(board) if p["title"] == query.where), {})


@contextmanager
def running(folder: Path) -> Iterator[Live]:
    """Ready, but what it scrapes comes later."""
    with running_fleet(NODES) as fleet, stage() as router:
        tell = folder / "alertmanager.yml"
        hook = {"url": f"http://{router.address}/api/alerts/webhook"}
        receivers = [{"name": "router", "webhook_configs": [hook]}]
        tell.write_text(yaml.safe_dump({**TELL, "receivers": receivers}), encoding="utf-8")
        with alertmanager(folder, tell) as alerts, prometheus(folder, fleet, alerts) as url:
            with httpx.Client(timeout=10) as client:
                yield Live(url, client)


@contextmanager
def prometheus(folder: Path, fleet: str, alerts: str) -> Iterator[str]:
    here = free_address()
    asked = configuration(folder, fleet, here, QUICK)
    asked["scrape_configs"].append(job("alertmanager", alerts))
    for each in asked["scrape_configs"]:
        each["relabel_configs"] = [{"target_label": "cluster", "replacement": "home"}]
    asked["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alerts]}]}]}
    with started(folder, asked, here):
        yield f"http://{here}"


@contextmanager
def started(folder: Path, asked: Mapping[str, Any], here: str) -> Iterator[None]:
    """A Prometheus at `here`, once it answers."""
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(asked), encoding="utf-8")
    flags = [f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    flags += [f"--web.listen-address={here}", "--enable-feature=exemplar-storage"]
    process = subprocess.Popen([find_program("prometheus"), *flags, "--log.level=error"])
    with ending(process):
        wait_for(f"http://{here}/-/ready")
        yield


def free_address() -> str:
    with bound(Address("127.0.0.1", 0)) as free:
        return "{}:{}".format(*free.getsockname()[:2])


def job(name: str, address: str, **labels: str) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": [address], "labels": labels}]}
