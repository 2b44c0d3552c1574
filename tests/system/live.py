"""The whole of what watches and acts, as programs: nodes, router, Prometheus, Alertmanager, mail.

The rules and alertmanager.yml are the project's own, on a faster clock (tests/system/clock.py).
"""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from dpl_router.settings import Mail, parse_address
from dpl_router.stack.render import (
    Addresses,
    find_originals,
    render_alertmanager,
    render_prometheus,
)
from tests.exporter import process as exporters
from tests.fakes.nvml.gpus import FakeGpus
from tests.fakes.programs import ROOT
from tests.fakes.smtp import MailSink
from tests.system.alerting import Stage, alertmanager, free_address, prometheus, stage, write
from tests.system.clock import sooner_routes, sooner_rules
from tests.system.running import eventually

SCRAPES = "1s"
REPEAT, SCRAPE, SILENCE = 2, 2, 6
"""Seconds that the router is told: `repeat_interval` of its route, the time between scrapes (two
of the true ones, so that a pause of this machine is no outage), the silence that it bears."""
START = 60.0


class Machine:
    """A node: an LLM server and, unless `exporter` is False, our exporter beside it."""

    def __init__(
        self,
        folder: Path,
        model: str,
        *,
        gpu: Mapping[str, object] | None = None,
        exporter: bool = True,
        tokens: int = 5,
    ) -> None:
        folder.mkdir()
        self._folder, self._exporter = folder, exporter
        self._llm_flags = ["--model", model, "--tokens", str(tokens)]
        self.gpus = FakeGpus(folder, gpu) if gpu is not None else None
        self._programs = ExitStack()
        self.url = ""
        self.exporter_url = ""

    def start(self) -> None:
        """At the same addresses as before, where there were any."""
        self.url = self._programs.enter_context(llm(self._llm_flags, self.url))
        if self._exporter:
            # not port 0: what was killed there leaves a port that nobody can have at once
            listen = self.exporter_url.removeprefix("http://") or free_address()
            environ = self.gpus.environ if self.gpus else {}
            self.exporter_url = self._programs.enter_context(
                exporters.running(self._folder, "--llm-url", self.url, listen=listen, **environ)
            ).url

    def kill(self) -> None:
        self._programs.close()

    def go_wrong(self, **faults: Any) -> None:
        httpx.post(f"{self.url}/fake/faults", json=faults, timeout=10).raise_for_status()

    def heal(self) -> None:
        httpx.delete(f"{self.url}/fake/faults", timeout=10).raise_for_status()

    @property
    def open(self) -> int:
        """Answers that are being given."""
        return int(httpx.get(f"{self.url}/fake/state", timeout=10).json()["open"])


@contextmanager
def llm(flags: list[str], url: str) -> Iterator[str]:
    """Its address; the one of `url` again where that is not empty."""
    port = url.rpartition(":")[2] or "0"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.openai", "--port", port, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@dataclass(frozen=True, slots=True)
class Chat:
    began: float
    ended: float
    trouble: str
    """Empty: it was answered."""


class Chats(threading.Thread):
    """One client that asks for a whole answer, again and again, until it is told to stop."""

    def __init__(self, router: str, model: str) -> None:
        super().__init__(name="chats", daemon=True)
        self._router, self._model = router, model
        self._over = threading.Event()
        self.done: list[Chat] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._router, timeout=30) as client:
            while not self._over.wait(0.1):
                began = time.monotonic()
                trouble = self._ask(client)
                self.done.append(Chat(began, time.monotonic(), trouble))

    def _ask(self, client: httpx.Client) -> str:
        body = {"model": self._model, "messages": [{"role": "user", "content": "Hello."}]}
        try:
            answer = client.post("/v1/chat/completions", json=body)
        except httpx.TransportError as error:
            return repr(error)
        return "" if answer.status_code == 200 else answer.text

    def end(self) -> None:
        self._over.set()
        self.join(40)

    def since(self, began: float) -> list[Chat]:
        return [chat for chat in self.done if chat.began >= began]


@dataclass
class Live:
    """`nodes` by name; `hook` is what the router's own webhook calls."""

    folder: Path
    nodes: dict[str, Machine]
    mail: MailSink
    hook: Stage
    router: str = ""
    prometheus: str = ""
    alertmanager: str = ""
    chats: Chats = field(init=False)
    _alarm: ExitStack = field(default_factory=ExitStack)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.router + path, timeout=20).raise_for_status()

    def page(self) -> str:
        """The overview."""
        headers = {"accept": "text/html"}
        return httpx.get(self.router, headers=headers, timeout=20).raise_for_status().text

    def shown_as(self, node: str) -> str:
        """The word of its row on the overview."""
        found = re.search(rf'id="node-{node}" class="is-(\w+)"', self.page())
        return found[1] if found else ""

    def cordons(self, node: str) -> list[dict[str, Any]]:
        nodes = self.get("/api/status/all").json()
        (found,) = [one for one in nodes if one["name"] == node]
        return list(found["cordons"])

    def audited(self, node: str) -> list[tuple[str, str, str]]:
        """(actor, action, outcome) of what was done to it."""
        file = self.folder / "router/audit.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        records = [yaml.safe_load(line) for line in lines]
        return [
            (one["actor"], one["action"], one["outcome"])
            for one in records
            if one["object"] == node
        ]

    def query(self, promql: str) -> list[dict[str, str]]:
        """The labels of what Prometheus finds."""
        answer = httpx.get(
            f"http://{self.prometheus}/api/v1/query", params={"query": promql}, timeout=20
        ).json()
        return [one["metric"] for one in answer["data"]["result"]]

    def metric(self, name: str) -> float:
        """Of the router, the sum over its series."""
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def served_by(self, model: str, tries: int = 6) -> set[str]:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
        answers = [
            httpx.post(f"{self.router}/v1/chat/completions", json=body, timeout=60)
            for _ in range(tries)
        ]
        return {one.headers.get("x-dpl-node", str(one.status_code)) for one in answers}

    def start_alertmanager(self) -> None:
        home = self.folder / "alertmanager"
        self._alarm.enter_context(
            alertmanager(home, home / "alertmanager.yml", address=self.alertmanager)
        )

    def stop_alertmanager(self) -> None:
        self._alarm.close()


@contextmanager
def live(folder: Path, nodes: Mapping[str, Machine]) -> Iterator[Live]:
    """Everything runs and knows each other, and somebody chats with `tiny`."""
    with ExitStack() as stack:
        for node in nodes.values():
            stack.callback(node.kill)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Machine.start, nodes.values()))
        mail, hook = stack.enter_context(MailSink()), stack.enter_context(stage())
        live = Live(folder, dict(nodes), mail, hook)
        live.alertmanager = free_address()
        addresses = Addresses(free_address(), free_address(), live.alertmanager)
        write_files(live, addresses)
        stack.callback(live.stop_alertmanager)
        live.router = stack.enter_context(a_router(live, addresses))
        live.start_alertmanager()
        live.prometheus = stack.enter_context(
            prometheus(folder, folder / "prometheus.yml", addresses.prometheus)
        )
        live.chats = Chats(live.router, "tiny")
        live.chats.start()
        stack.callback(live.chats.end)
        eventually(lambda: all_known(live), START)
        yield live


def all_known(live: Live) -> bool:
    """Prometheus reads each exporter, the router reads Prometheus, and the heartbeat was heard."""
    with_exporter = {name for name, node in live.nodes.items() if node.exporter_url}
    fresh = live.query("node:dpl_sample_timestamp:max")
    return (
        {found.get("node") for found in fresh} == with_exporter
        and live.metric('dpl_router_scheduling_mode{dpl_router_scheduling_mode="promql"}') == 1
        and live.metric("dpl_router_watchdog_last_received_timestamp_seconds") > 0
    )


def write_files(live: Live, addresses: Addresses) -> None:
    """Everything but the clock as `dpl up` writes it."""
    originals, folder = find_originals(), live.folder
    mail = Mail(
        parse_address(live.mail.address, "the sink"),
        "dpl@example.org",
        ("ops@example.org",),
        tls=False,
    )
    told = render_alertmanager(originals, addresses, None, "UTC", mail)
    sooner_routes(told["route"])
    (folder / "alertmanager").mkdir()
    write(folder / "alertmanager/alertmanager.yml", told)
    watching = render_prometheus(originals, addresses, None)
    watching["rule_files"] = [str(sooner_rules(folder / "rules") / "*.yml")]
    for job in watching["scrape_configs"]:
        job["scrape_interval"] = SCRAPES
        for discovery in job.get("http_sd_configs", ()):
            discovery["refresh_interval"] = SCRAPES
    write(folder / "prometheus.yml", watching)
    listed = [
        {"name": name, "url": node.url, "exporter": node.exporter_url or "none"}
        for name, node in live.nodes.items()
    ]
    write(folder / "nodes.yaml", {"version": 1, "nodes": listed})
    (folder / "hook.url").write_text(f"http://{live.hook.address}/silent\n", encoding="utf-8")


@contextmanager
def a_router(live: Live, addresses: Addresses) -> Iterator[str]:
    folder = live.folder
    flags = {
        "--listen": addresses.router,
        "--nodes": folder / "nodes.yaml",
        "--data-dir": folder / "router",
        "--prometheus-url": f"http://{addresses.prometheus}",
        "--alertmanager-url": f"http://{addresses.alertmanager}",
        "--alert-repeat": REPEAT,
        "--scrape-interval": SCRAPE,
        "--alarm-silence": SILENCE,
        "--alarm-webhook-file": folder / "hook.url",
        "--smtp-server": live.mail.address,
        "--smtp-from": "dpl@example.org",
        "--smtp-to": "ops@example.org",
    }
    words = [str(word) for flag in flags.items() for word in flag]
    with (folder / "router.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dpl_router", "serve", *words, "--smtp-plain"],
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://{addresses.router}"
            eventually(lambda: is_ready(url, process), START)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def is_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the router has ended"
    try:
        return httpx.get(f"{url}/-/ready", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
