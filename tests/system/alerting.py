"""A real Prometheus and Alertmanager on our files, with a node and a router that a test plays."""

import http.server
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from dpl_router.server import bound
from dpl_router.settings import Address
from tests.fakes.programs import ROOT, find_program
from tests.system.running import eventually

START = 60.0
TOKEN = "token-of-an-operator"


@dataclass(frozen=True, slots=True)
class Called:
    """A POST that came to the router's place."""

    path: str
    authorization: str
    body: Any


class Stage(http.server.ThreadingHTTPServer):
    """Stands for a node's exporter (GET) and for the router (POST)."""

    daemon_threads = True
    page = ""
    """What the node says beside its clock."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Performer)
        self.calls: list[Called] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def calls_to(self, path: str) -> list[Called]:
        return [call for call in self.calls if call.path == path]


class Performer(http.server.BaseHTTPRequestHandler):
    server: Stage

    def do_GET(self) -> None:
        self._answer(f"dpl_node_time_seconds {time.time()}\n{self.server.page}".encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.calls.append(Called(self.path, self.headers["authorization"] or "", body))
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def stage() -> Iterator[Stage]:
    with Stage() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


def with_mail(folder: Path, mail: str, router: str) -> Path:
    """alertmanager.yml as a person makes it with examples/mail.yml, for a sink without TLS."""
    document = read("alertmanager/alertmanager.yml")
    example = read("alertmanager/examples/mail.yml")
    secrets = {"smtp_auth_username", "smtp_auth_password_file"}
    for name, value in example["global"].items():
        if name not in secrets:
            document["global"][name] = value
    document["global"] |= {"smtp_smarthost": mail, "smtp_require_tls": False}
    people = {receiver["name"]: receiver for receiver in example["receivers"]}
    document["receivers"] = [people.get(each["name"], each) for each in document["receivers"]]
    document["templates"] = [str(ROOT / "alertmanager" / name) for name in document["templates"]]
    for receiver in document["receivers"]:
        for hook in receiver.get("webhook_configs", ()):
            hook["url"] = f"http://{router}/{hook['url'].split('/', 3)[3]}"
    (folder / "router.token").write_text(TOKEN, encoding="utf-8")
    return write(folder / "alertmanager.yml", document)


@contextmanager
def alertmanager(folder: Path, configuration: Path) -> Iterator[str]:
    """Its address."""
    flags = [f"--config.file={configuration}", f"--storage.path={folder / 'alertmanager'}"]
    address = free_address()
    listens = [f"--web.listen-address={address}", "--cluster.listen-address="]
    outside = f"--web.external-url=http://{address}"
    with running("alertmanager", *flags, *listens, outside, ready=f"http://{address}/-/ready"):
        yield address


@contextmanager
def prometheus(folder: Path, node: str, alertmanager: str) -> Iterator[str]:
    """On our rules, with `node` scraped as the exporter of `gpu-1` each second."""
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "prometheus/rules/*.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {
                "job_name": "dpl-exporter",
                "static_configs": [{"targets": [node], "labels": {"node": "gpu-1"}}],
            }
        ],
    }
    file = write(folder / "prometheus.yml", configuration)
    address = free_address()
    flags = [f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    listens = f"--web.listen-address={address}"
    with running("prometheus", *flags, listens, ready=f"http://{address}/-/ready"):
        yield address


@contextmanager
def running(program: str, *flags: str, ready: str) -> Iterator[None]:
    process = subprocess.Popen([find_program(program), *flags, "--log.level=error"])
    try:
        eventually(lambda: answers(ready), START)
        yield
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def free_address() -> str:
    with bound(Address("127.0.0.1", 0)) as free:
        return "{}:{}".format(*free.getsockname()[:2])


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def write(file: Path, document: Mapping[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
    return file
