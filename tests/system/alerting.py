"""A real Prometheus and Alertmanager, and a router that a test plays."""

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from dpl_router.server import bound
from dpl_router.settings import Address, Mail, parse_address
from dpl_router.stack.render import Addresses, Tokens, find_originals, render_alertmanager
from tests.fakes.programs import ROOT, find_program
from tests.system.clock import sooner_routes
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
    """Stands for the router, or for whoever else is called with a POST."""

    daemon_threads = True

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
    """alertmanager.yml as `dpl up` writes it for a mail server without TLS, on a faster clock."""
    token = folder / "router.token"
    token.write_text(TOKEN, encoding="utf-8")
    document = render_alertmanager(
        find_originals(),
        Addresses(router, "127.0.0.1:9090", "127.0.0.1:9093"),
        Tokens(token, token),
        "UTC",
        Mail(parse_address(mail, "mail"), "dpl@example.org", ("ops@example.org",), tls=False),
    )
    sooner_routes(document["route"])
    return write(folder / "alertmanager.yml", document)


@contextmanager
def alertmanager(folder: Path, configuration: Path, address: str = "") -> Iterator[str]:
    """Its address: `address`, or a free one."""
    flags = [f"--config.file={configuration}", f"--storage.path={folder / 'alertmanager'}"]
    address = address or free_address()
    listens = [f"--web.listen-address={address}", "--cluster.listen-address="]
    outside = f"--web.external-url=http://{address}"
    with running("alertmanager", *flags, *listens, outside, ready=f"http://{address}/-/ready"):
        yield address


@contextmanager
def prometheus(folder: Path, configuration: Path, address: str = "") -> Iterator[str]:
    """Its address: `address`, or a free one. The flags are those of `dpl up`."""
    address = address or free_address()
    flags = [f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    flags += ["--rules.alert.resend-delay=10s", f"--web.listen-address={address}"]
    with running("prometheus", *flags, ready=f"http://{address}/-/ready"):
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


def states(manager: str, **labels: str) -> dict[tuple[str, str], str]:
    """(alert, node) -> active or suppressed, of the alerts with these labels."""
    found = httpx.get(
        f"http://{manager}/api/v2/alerts",
        params={"filter": [f'{name}="{value}"' for name, value in labels.items()]},
        timeout=10,
    ).json()
    return {
        (each["labels"]["alertname"], each["labels"].get("node", "")): each["status"]["state"]
        for each in found
    }


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
