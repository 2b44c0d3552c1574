"""A real exporter as a process of its own, and calls to it over the wire."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.exporter.values import Values, by, values_on

PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document


@dataclass
class Running:
    """`url` is what the ready line said."""

    process: subprocess.Popen[str]
    url: str

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One exchange on a connection of its own. Raises: OSError, HTTPException."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def metrics(self) -> str:
        return self.call("GET", "/metrics").body.decode()

    def page(self, failing: frozenset[str] = frozenset()) -> Values:
        """A page on which exactly these collectors fail.

        On a busy machine any collector may be late on some page; not on all of them.
        """
        end = time.monotonic() + PATIENCE
        while True:
            values = values_on(self.metrics())
            health = by(values, "dpl_exporter_collector_success", "collector")
            if {name for name, fine in health.items() if not fine} == failing:
                return values
            assert time.monotonic() < end, health
            time.sleep(0.05)

    def end(self, number: signal.Signals) -> int:
        """The exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def running(
    folder: Path, *flags: str, listen: str = "127.0.0.1:0", **environ: str
) -> Iterator[Running]:
    """Wait for the ready line; kill it at the end. It sees nothing of our environment."""
    process = spawn(folder, "--listen", listen, "--data-dir", str(folder), *flags, **environ)
    try:
        yield Running(process, ready_url(process))
    finally:
        process.kill()
        process.wait(PATIENCE)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def run(folder: Path, *flags: str, **environ: str) -> tuple[int, str, str]:
    """Run to the end: (exit status, stdout, stderr)."""
    process = spawn(folder, *flags, **environ)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def spawn(folder: Path, *flags: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dpl_exporter", *flags],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ready_url(process: subprocess.Popen[str]) -> str:
    """The address of the ready line. Raises: AssertionError where none comes."""
    assert process.stdout is not None
    assert process.stderr is not None
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    line = process.stdout.readline()
    watchdog.cancel()
    match = re.fullmatch(r"dpl-exporter listening on (\S+)\n", line)
    assert match, f"no ready line: {line!r} {process.stderr.read()}"
    return match[1]


def post(exporter: Running, path: str, document: object) -> Answer:
    return exporter.call("POST", path, json.dumps(document).encode())


def raw(exporter: Running, request: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    address = urlsplit(exporter.url)
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as sock:
        sock.sendall(request)
        answer = b""
        try:
            while piece := sock.recv(65536):
                answer += piece
        except ConnectionResetError:
            return answer
        return answer


def error_of(answer: Answer) -> str:
    error = answer.json()["error"]
    assert isinstance(error, str)
    return error
