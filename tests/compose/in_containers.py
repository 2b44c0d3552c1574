"""docker-compose.yml in real containers: `make image` builds the images and runs this.

Not part of `make test`: the images take two minutes where nothing of them is there yet, and the
network of containers needs root.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.compose.engine import CannotBeHad, prepare, run
from tests.fakes.programs import ROOT
from tests.fakes.smtp import MailSink
from tests.system.alerting import free_address
from tests.system.running import MODEL, eventually

pytestmark = pytest.mark.system

PROJECT = f"dpl-in-test-{os.getpid()}"
TREE = ("docker-compose.yml", "deploy", "prometheus", "alertmanager", "grafana")
"""What a composition reads of a clone."""
MAIL = 2525
START = 90.0
ALERT = 150.0
"""Seconds: an alert waits for a minute, and its letter for seconds more."""


@dataclass(frozen=True, slots=True)
class Composition:
    podman: str
    folder: Path
    gateway: str
    ports: dict[str, str]
    services: dict[str, Any]

    def container(self, service: str) -> str:
        return f"{PROJECT}_{service}_1"

    def inside(self, service: str, *command: str) -> str:
        """What it printed. Fails where the command does."""
        return run([self.podman, "exec", self.container(service), *command])

    def secret(self, name: str) -> str:
        return (self.folder / "deploy/secrets" / name).read_text(encoding="utf-8")

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def query(self, promql: str) -> dict[str, float]:
        """Label `node`, else `job` -> value."""
        url = self.url("prometheus") + "/api/v1/query"
        found = httpx.get(url, params={"query": promql}, timeout=10).json()["data"]["result"]
        return {
            each["metric"].get("node", each["metric"].get("job", "")): float(each["value"][1])
            for each in found
        }

    def grafana(self, path: str) -> Any:
        password = self.secret("grafana-password")
        answer = httpx.get(self.url("grafana") + path, auth=("admin", password), timeout=15)
        return answer.raise_for_status().json()

    def router(self, method: str, path: str, key: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.secret(key)}"}
        return httpx.request(method, self.url("router") + path, headers=headers, timeout=60, **more)

    def chat(self) -> httpx.Response:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello."}]}
        return self.router(
            "POST", "/v1/chat/completions", "user-key", json={**body, "max_tokens": 8}
        )


@pytest.fixture(scope="module")
def composition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composition]:
    podman, folder = prepare(), tmp_path_factory.mktemp("clone")
    for name in TREE:
        copy = shutil.copy if (ROOT / name).is_file() else shutil.copytree
        copy(ROOT / name, folder / name)
    shutil.rmtree(folder / "deploy/secrets", ignore_errors=True)
    network = f"{PROJECT}_default"
    run([podman, "network", "create", network])
    gateway = run([podman, "network", "inspect", network, "-f", "{{(index .Subnets 0).Gateway}}"])
    names = ("router", "prometheus", "alertmanager", "grafana")
    ports = {name: free_address().rpartition(":")[2] for name in names}
    run(["sh", "deploy/secrets.sh"], folder)
    services = made_for_podman(folder, gateway.strip())
    compose = ["podman-compose", "--podman-path", podman, "-p", PROJECT]
    environment = {
        **{f"DPL_{name.upper()}_PORT": port for name, port in ports.items()},
        "DPL_PORT": ports["router"],
        "DPL_ALERTMANAGER_FILE": "./alertmanager-with-mail.yml",
    }
    try:
        run([*compose, "up", "-d"], folder, environment)
        stage = Composition(podman, folder, gateway.strip(), ports, services)
        eventually(lambda: is_up(stage), START)
        yield stage
    finally:
        run([*compose, "down", "-v"], folder, environment)
        run([podman, "network", "rm", "-f", network])


def made_for_podman(folder: Path, gateway: str) -> dict[str, Any]:
    """podman before 4.7 knows no `host-gateway`, podman-compose 1.0 no empty default (to both, a
    variable that is not set is empty); and people get mail. Returns the services."""
    file = folder / "docker-compose.yml"
    text = file.read_text(encoding="utf-8").replace("host-gateway", gateway).replace(":-}", "}")
    file.write_text(text, encoding="utf-8")
    document = yaml.safe_load((folder / "deploy/alertmanager.yml").read_text(encoding="utf-8"))
    example = yaml.safe_load((ROOT / "alertmanager/examples/mail.yml").read_text(encoding="utf-8"))
    people = {receiver["name"]: receiver for receiver in example["receivers"]}
    document["receivers"] = [people.get(each["name"], each) for each in document["receivers"]]
    document["global"] |= {
        "smtp_smarthost": f"{gateway}:{MAIL}",
        "smtp_from": "dpl@example.org",
        "smtp_require_tls": False,
    }
    mailing = folder / "alertmanager-with-mail.yml"
    mailing.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def is_up(stage: Composition) -> bool:
    """Every address answers; whether the parts find one another is for the tests."""
    paths = {"router": "/-/healthy", "grafana": "/api/health"}
    try:
        for name in stage.ports:
            httpx.get(stage.url(name) + paths.get(name, "/-/ready"), timeout=5).raise_for_status()
    except httpx.HTTPError:
        return False
    return True


def test_every_container_is_healthy_by_its_own_check(composition: Composition) -> None:
    for name, service in composition.services.items():
        command = service["healthcheck"]["test"][1:]
        eventually(partial(passes, composition, name, command), START)


def passes(composition: Composition, name: str, command: Sequence[str]) -> bool:
    try:
        composition.inside(name, *command)
    except CannotBeHad:
        return False
    return True


def test_no_container_has_rights_or_writes_beside_its_volume(composition: Composition) -> None:
    for name in composition.services:
        looked = (
            "{ touch /written || touch /etc/written || touch /usr/written; } 2>/dev/null; id -u"
        )
        said = composition.inside(name, "sh", "-c", f"{looked}; grep CapEff /proc/self/status")

        user, capabilities = said.splitlines()
        assert user != "0", name
        assert set(capabilities.split()[1]) == {"0"}, name
        assert "Yes" not in run([composition.podman, "diff", composition.container(name)]), name


def test_a_chat_goes_through_the_router_to_the_model(composition: Composition) -> None:
    eventually(lambda: composition.chat().status_code == 200, START)
    answer = composition.chat()
    refused = httpx.post(composition.url("router") + "/v1/chat/completions", json={}, timeout=10)

    assert answer.headers["x-dpl-node"] == "local"
    assert answer.json()["choices"][0]["message"]["content"]
    assert refused.status_code == 401


def test_prometheus_finds_all_and_the_exporter_tells_of_this_machine(
    composition: Composition,
) -> None:
    jobs = {"local": 1, "dpl-router": 1, "prometheus": 1, "alertmanager": 1}
    eventually(lambda: composition.query("up") == jobs, START)
    memory = Path("/proc/meminfo").read_text(encoding="ascii").split()[1]

    assert composition.query("dpl_node_memory_total_bytes") == {"local": int(memory) * 1024}
    assert eventually(lambda: composition.query("dpl_llm_up == 1"), START) == {"local": 1}
    assert eventually(lambda: composition.query("node:dpl_eligible:bool == 1"), START)


def test_grafana_opens_on_the_overview_and_reaches_both_sources(composition: Composition) -> None:
    home = composition.grafana("/api/dashboards/home")
    boards = composition.grafana("/api/search")
    proxy = "/api/datasources/proxy/uid"
    asked = composition.grafana(f"{proxy}/dpl-prometheus/api/v1/query?query=vector(1)")
    status = composition.grafana(f"{proxy}/dpl-alertmanager/api/v2/status")

    assert home["dashboard"]["uid"] == "dpl-overview"
    assert "dpl-node" in {board["uid"] for board in boards if board["folderTitle"] == "DPL"}
    assert asked["data"]["result"]
    assert "ops@example.org" in status["config"]["original"]


def test_the_watchdog_reaches_the_router(composition: Composition) -> None:
    """Prometheus, Alertmanager and router find one another, with their keys."""

    def heard() -> bool:
        page = composition.router("GET", "/metrics", "viewer-key").text
        name = "dpl_router_watchdog_last_received_timestamp_seconds"
        told = re.search(rf"^{name} (\S+)$", page, re.MULTILINE)
        return told is not None and float(told[1]) > 0  # 0 before the first call

    eventually(heard, START)


def test_an_edited_nodes_file_counts(composition: Composition) -> None:
    """Editors put another file in the place of the old one, which a mounted file would not show."""
    file = composition.folder / "deploy/nodes/nodes.yaml"
    text = file.read_text(encoding="utf-8")
    edited = file.with_name("edited")
    more = "  - {name: other, url: 'http://192.0.2.7:11434', exporter: none}\n\nrouter:"
    edited.write_text(text.replace("\nrouter:", more), encoding="utf-8")

    edited.replace(file)

    eventually(
        lambda: "other" in composition.router("GET", "/api/status/all", "viewer-key").text, 20
    )
    edited.write_text(text, encoding="utf-8")
    edited.replace(file)


def test_a_node_that_is_killed_reaches_people_and_comes_back(composition: Composition) -> None:
    eventually(lambda: composition.query('up{node="local"} == 1'), START)
    killed = [composition.container(name) for name in ("exporter", "llm")]
    with MailSink(composition.gateway, MAIL) as mail:
        run([composition.podman, "stop", "-t", "0", *killed])
        try:
            letter = mail.wait(lambda letter: "local" in letter.subject, ALERT)
            alerts = composition.router("GET", "/api/alerts", "viewer-key").text
            refused = composition.chat()
        finally:
            run([composition.podman, "start", *killed])

    assert letter.subject.startswith("[FIRING")
    assert letter.to == ("ops@example.org",)
    assert "DplNodeDown" in alerts
    assert refused.status_code in {502, 503}
    eventually(lambda: composition.chat().status_code == 200, START)
