"""The LLM server's processes: found beside the page, counted together, never falling."""

import os
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest

from dpl_exporter.collectors.llm_process import (
    EVERY,
    LlmProcesses,
    Usage,
    find_processes,
    read_usage,
)
from tests.exporter.gpu_platforms import sleeper
from tests.exporter.values import Values, labels, only, values_of

ME = psutil.Process()
INIT = psutil.Process(1)
URL = "http://127.0.0.1:11434"


def settled(processes: LlmProcesses, kind: str = "ollama") -> Values:
    """The families once the walk has ended."""
    processes.families(kind)
    for _ in range(200):
        values = values_of(processes.families(kind))
        if values or not any(one.name == "walk" for one in threading.enumerate()):
            break
        time.sleep(0.01)
    return values_of(processes.families(kind))


def test_who_listens_on_the_port_is_the_server_and_its_children_belong_to_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = find_processes(server.getsockname()[1], ())

    assert os.getpid() in [one.pid for one in found]


def test_where_nobody_is_seen_to_listen_the_name_counts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert os.getpid() in [one.pid for one in find_processes(port, (ME.name(),))]
    assert find_processes(port, ("no such program",)) == []


@pytest.mark.parametrize("proxy", ["docker-proxy", "rootlessport", "pasta.avx2", "ssh", "haproxy"])
def test_who_only_passes_connections_on_is_not_the_server(tmp_path: Path, proxy: str) -> None:
    """In a container the server itself listens where we do not see it."""
    with sleeper(tmp_path, proxy) as passing, sleeper(tmp_path, "ollama") as server:
        found = find_processes(1, ("ollama",), lambda _port: {passing})

    assert server in [one.pid for one in found]
    assert passing not in [one.pid for one in found]


def test_where_connections_may_not_be_seen_at_all_the_name_counts() -> None:
    """On a Mac that is every user but root."""

    def refused(_port: int) -> set[int]:
        raise psutil.AccessDenied

    assert os.getpid() in [one.pid for one in find_processes(1, (ME.name(),), refused)]


@pytest.mark.parametrize(
    ("url", "port"),
    [("https://localhost", 443), ("http://localhost", 80), ("https://localhost:8443", 8443)],
)
def test_a_url_without_a_port_means_its_schemes(url: str, port: int) -> None:
    ports: list[int] = []

    def find(port: int, _names: tuple[str, ...]) -> list[psutil.Process]:
        ports.append(port)
        return []

    settled(LlmProcesses(url, time.monotonic, find=find))

    assert ports == [port]


def test_this_process_uses_memory() -> None:
    usage = read_usage(ME)

    assert usage is not None
    assert usage.memory > 2**20


def test_processes_are_told_together() -> None:
    usages = {ME: Usage(100, 5.0), INIT: Usage(50, 2.0)}
    processes = LlmProcesses(
        URL, time.monotonic, find=lambda _port, _names: [ME, INIT], read=usages.get
    )

    values = settled(processes)

    assert values == {
        "dpl_llm_process_resident_memory_bytes": {labels(backend="ollama"): 150.0},
        "dpl_llm_process_cpu_seconds_total": {labels(backend="ollama"): 7.0},
    }


def test_cpu_time_never_falls_when_a_runner_ends() -> None:
    usages: dict[psutil.Process, Usage] = {ME: Usage(1, 5.0), INIT: Usage(1, 2.0)}
    processes = LlmProcesses(
        URL, time.monotonic, find=lambda _port, _names: [ME, INIT], read=usages.get
    )
    settled(processes)
    del usages[INIT]
    usages[ME] = Usage(1, 6.0)

    values = values_of(processes.families("ollama"))

    assert only(values, "dpl_llm_process_cpu_seconds_total") == 8.0


def test_a_process_that_was_not_to_be_read_once_is_not_counted_twice() -> None:
    usages: dict[psutil.Process, Usage] = {ME: Usage(1, 5.0), INIT: Usage(1, 2.0)}
    processes = LlmProcesses(
        URL, time.monotonic, find=lambda _port, _names: [ME, INIT], read=usages.get
    )
    settled(processes)
    del usages[INIT]
    values_of(processes.families("ollama"))
    usages[INIT] = Usage(1, 2.5)

    values = values_of(processes.families("ollama"))

    assert only(values, "dpl_llm_process_cpu_seconds_total") == 7.5


def test_the_page_never_waits_for_the_walk_and_it_is_made_once_in_thirty_seconds() -> None:
    release = threading.Event()
    now = [0.0]
    walks = []

    def find(_port: int, _names: tuple[str, ...]) -> list[psutil.Process]:
        walks.append(now[0])
        release.wait(30.0)
        return [ME]

    processes = LlmProcesses(URL, lambda: now[0], find=find, read=lambda _: Usage(1, 1.0))

    assert values_of(processes.families("ollama")) == {}
    release.set()
    assert settled(processes) != {}
    now[0] += EVERY - 1.0
    settled(processes)
    assert len(walks) == 1
    now[0] += 2.0
    settled(processes)
    assert len(walks) == 2


def test_a_server_on_another_machine_has_no_processes_here() -> None:
    processes = LlmProcesses("http://10.0.0.5:80", time.monotonic, find=lambda _p, _n: [ME])

    assert settled(processes) == {}
