"""What is measured: nginx, the router, haproxy where there is one, and the way without any."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from dpl_router.stack.lifeline import tied
from dpl_router.stack.programs import PartMissing

READY_SECONDS = 20.0
STOP_SECONDS = 5.0
MB = 1e6


@dataclass(frozen=True, slots=True)
class Subject:
    """One way to the upstream: where it listens, and the processes that it is."""

    name: str
    port: int
    processes: tuple[psutil.Process, ...]

    def cpu(self) -> float:
        """Seconds of CPU so far, of all threads, as the operating system counts them."""
        times = [process.cpu_times() for process in self.processes]
        return sum(one.user + one.system for one in times)

    def memory(self) -> float:
        """Resident, MB."""
        return sum(process.memory_info().rss for process in self.processes) / MB


def subject(name: str, port: int, pid: int) -> Subject:
    """With the children that it has now."""
    process = psutil.Process(pid)
    return Subject(name, port, (process, *process.children(recursive=True)))


@contextmanager
def upstream(program: Path) -> Iterator[Subject]:
    """The fake LLM server; its stdin is our pipe, so it ends with us."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        try:
            yield subject("direct", port, child.pid)
        finally:
            child.stdin.close()


@contextmanager
def nginx(program: Path, upstream_port: int, folder: Path) -> Iterator[Subject]:
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(NGINX.format(port=port, upstream=upstream_port, folder=folder), "ascii")
    command = [str(program), "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx.err")]
    with started("nginx", command, port, folder) as running:
        yield running


@contextmanager
def haproxy(program: str, upstream_port: int, folder: Path) -> Iterator[Subject]:
    port, config = free_port(), folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, upstream=upstream_port), "ascii")
    with started("haproxy", [program, "-db", "-f", str(config)], port, folder) as running:
        yield running


@contextmanager
def router(upstream_port: int, folder: Path) -> Iterator[Subject]:
    port, nodes = free_port(), folder / "nodes.yaml"
    nodes.write_text(NODES.format(upstream=upstream_port), "ascii")
    command = [sys.executable, "-m", "dpl_router", "serve", "--listen", f"127.0.0.1:{port}"]
    command += ["--nodes", str(nodes), "--data-dir", str(folder / "data")]
    with started("router", command, port, folder) as running:
        yield running


@contextmanager
def started(name: str, command: Sequence[str], port: int, folder: Path) -> Iterator[Subject]:
    """Runs while the block does, once it passes the upstream's model on. Raises: PartMissing."""
    log = folder / f"{name}.log"
    settings = {key: value for key, value in os.environ.items() if not key.startswith("DPL_")}
    with log.open("wb") as out:
        child = subprocess.Popen(
            tied(command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=settings
        )
    try:
        if not ready(child, port):
            told = log.read_text(errors="replace").strip()
            raise PartMissing(f"{name} is not ready on port {port}: {told[-1000:] or 'no word'}")
        yield subject(name, port, child.pid)
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def ready(child: "subprocess.Popen[bytes]", port: int) -> bool:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and child.poll() is None:
        if lists_the_model(port):
            return True
        time.sleep(0.1)
    return False


def lists_the_model(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/v1/models")
        return b'"bench"' in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


NGINX = """\
# One worker, and that one without a master: nothing outlives us.
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err error;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_body_buffer_size 256k;
    client_max_body_size 32m;
    keepalive_requests 100000000;
    upstream llm {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://llm;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    option http-no-delay
    timeout connect 2s
    timeout client 60s
    timeout server 60s
frontend door
    bind 127.0.0.1:{port} backlog 1024
    default_backend llm
backend llm
    http-reuse always
    server one 127.0.0.1:{upstream}
"""

NODES = """\
version: 1
nodes:
  - {{name: bench, url: "http://127.0.0.1:{upstream}", kind: openai, exporter: none, slots: 4096}}
"""
