"""Memory and CPU time of the LLM server's processes together.

Which processes they are is looked up at most every 30 s, on a thread of its own, since a walk over
all processes costs some 10 ms and more on a busy machine: the page never waits for it. The server
is who listens on its port, with everything that it started; where that cannot be seen (another
user's process) or is one who only passes connections on, who has the server's name.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from dpl_exporter.addresses import is_loopback

EVERY = 30.0
NAMES: Mapping[str, tuple[str, ...]] = {
    "ollama": ("ollama", "ollama.exe"),
    "llamacpp": ("llama-server", "llama-server.exe"),
    "vllm": ("vllm", "VLLM::EngineCore"),
    "sglang": ("sglang", "sglang::scheduler"),
    "lmstudio": ("LM Studio", "lm-studio", "lms"),
}
PASS_ON = frozenset(
    {
        *("docker-proxy", "rootlessport", "slirp4netns", "pasta", "pasta.avx2"),  # to containers
        *("ssh", "sshd", "socat", "haproxy", "nginx", "caddy", "traefik", "envoy"),
    }
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process: bytes, seconds of CPU since it started."""

    memory: int
    cpu: float


def listeners(port: int) -> set[int]:
    """Their process ids. Source: psutil.net_connections. Raises: psutil.AccessDenied."""
    return {
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid
    }


def find_processes(
    port: int,
    names: tuple[str, ...],
    listen: Callable[[int], set[int]] = listeners,
) -> list[psutil.Process]:
    """Source: psutil.process_iter."""
    try:
        listening = listen(port)
    except psutil.AccessDenied:  # a Mac shows them to root alone
        listening = set()
    named = {one: one.info["name"] for one in psutil.process_iter(["name"])}
    heads = [one for one, name in named.items() if one.pid in listening and name not in PASS_ON]
    if not heads:
        heads = [one for one, name in named.items() if name in names]
    family = {one.pid: one for one in heads}
    for head in heads:
        try:
            family.update((child.pid, child) for child in head.children(recursive=True))
        except psutil.Error:
            continue
    return list(family.values())


def read_usage(process: psutil.Process) -> Usage | None:
    """None where it has ended, or is not ours to see."""
    try:
        times = process.cpu_times()
        return Usage(process.memory_info().rss, times.user + times.system)
    except psutil.Error:
        return None


class LlmProcesses:
    """`families` never blocks: it reads the processes that the last walk found."""

    def __init__(
        self,
        url: str,
        monotonic: Callable[[], float],
        find: Callable[[int, tuple[str, ...]], list[psutil.Process]] = find_processes,
        read: Callable[[psutil.Process], Usage | None] = read_usage,
    ) -> None:
        parts = urlsplit(url)
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._is_here = is_loopback(parts.hostname or "")
        self._now = monotonic
        self._find = find
        self._read = read
        self._processes: list[psutil.Process] = []
        self._walked_at = float("-inf")
        self._walk: threading.Thread | None = None
        self._cpu: dict[psutil.Process, float] = {}
        self._cpu_total = 0.0

    def families(self, backend: str) -> Iterable[Metric]:
        """dpl_llm_process_*; nothing for a server on another machine, or one not found yet."""
        if not self._is_here:
            return
        self._walk_sometimes(NAMES.get(backend, ()))
        usages = {one: usage for one in self._processes if (usage := self._read(one))}
        if not usages:
            return
        self._count(usages)
        memory = GaugeMetricFamily(
            "dpl_llm_process_resident_memory_bytes",
            "Memory of the LLM server's processes together.",
            labels=["backend"],
        )
        memory.add_metric([backend], sum(usage.memory for usage in usages.values()))
        cpu = CounterMetricFamily(
            "dpl_llm_process_cpu_seconds_total",
            "CPU time of the LLM server's processes together.",
            labels=["backend"],
        )
        cpu.add_metric([backend], self._cpu_total)
        yield memory
        yield cpu

    def pids(self) -> frozenset[int]:
        """Of the server's processes, as the last walk found them."""
        return frozenset(one.pid for one in self._processes)

    def _count(self, usages: Mapping[psutil.Process, Usage]) -> None:
        """The total never falls when one of the processes ends, and one that was missed on a page
        is not counted from its start again."""
        for process, usage in usages.items():
            self._cpu_total += max(0.0, usage.cpu - self._cpu.get(process, 0.0))
        missed = {one: cpu for one, cpu in self._cpu.items() if one not in usages and _runs(one)}
        self._cpu = missed | {process: usage.cpu for process, usage in usages.items()}

    def _walk_sometimes(self, names: tuple[str, ...]) -> None:
        if self._now() - self._walked_at < EVERY or (self._walk and self._walk.is_alive()):
            return
        self._walked_at = self._now()
        self._walk = threading.Thread(target=self._look, args=(names,), name="walk", daemon=True)
        self._walk.start()

    def _look(self, names: tuple[str, ...]) -> None:
        try:
            self._processes = self._find(self._port, names)
        except (psutil.Error, OSError):
            self._processes = []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running()
    except psutil.Error:
        return False
