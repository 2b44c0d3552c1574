"""The loads: each a window of a few seconds, during which one subject is watched."""

import resource
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from bench.subjects import Subject

LOOK_SECONDS = 0.25
MOST_SECONDS = 60.0


class Told(msgspec.Struct, frozen=True):
    """What load.c prints. Microseconds; `first`: to the first token, `gap`: between two."""

    seconds: float = 0.0
    answers: int = 0
    events: int = 0
    dropped: int = 0
    disordered: int = 0
    whole_p50_us: float = 0.0
    whole_p99_us: float = 0.0
    first_p50_us: float = 0.0
    first_p99_us: float = 0.0
    gap_p50_us: float = 0.0
    gap_p99_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    name: str
    connections: int
    seconds: float
    """New requests begin for so long; with 0 each connection makes one."""
    prompt: int = 200
    """Bytes."""
    events: int = 0
    """Tokens of each stream; 0 = whole answers."""
    interval_ms: int = 0

    def command(self, load: Path, port: int) -> list[str]:
        words = [self.connections, self.seconds, self.prompt]
        if self.events:
            words += [self.events, self.interval_ms]
        return [str(load), "stream" if self.events else "plain", str(port), *map(str, words)]


@dataclass(frozen=True, slots=True)
class Measured:
    """One window on one subject."""

    told: Told
    cpu: float
    """Seconds that the subject used."""
    memory: float
    """MB, the most that was seen."""
    others: float
    """Share of the machine that programs other than ours used."""

    @property
    def failed(self) -> int:
        return self.told.dropped + self.told.disordered


FULL = (
    Window("plain", 64, 3.0),
    Window("64 streams", 64, 3.0, events=128, interval_ms=10),
    Window("1,000 streams", 1000, 0.0, events=64, interval_ms=100),
    Window("short streams", 64, 3.0, events=8, interval_ms=10),
    Window("burst", 8, 2.0, events=1000),
    Window("64 KB prompts", 16, 3.0, prompt=65536),
)
QUICK = (
    Window("plain", 64, 1.5),
    Window("64 streams", 64, 2.0, events=64, interval_ms=10),
    Window("1,000 streams", 1000, 0.0, events=30, interval_ms=100),
    Window("short streams", 64, 1.5, events=8, interval_ms=10),
    Window("burst", 8, 1.0, events=1000),
    Window("64 KB prompts", 16, 1.5, prompt=65536),
)


@dataclass(frozen=True, slots=True)
class Rig:
    """What every window needs: the clients' program, and the upstream."""

    load: Path
    upstream: Subject

    def measure(self, window: Window, subject: Subject) -> Measured:
        """Raises: msgspec.DecodeError where the clients died: a bug of theirs."""
        ours = {subject, self.upstream}
        before, known, machine = subject.cpu(), clients() + total(ours), busy()
        told, memory = self._run(window, subject)
        cpu = subject.cpu() - before
        used, all_there_was = (now - then for now, then in zip(busy(), machine, strict=True))
        strangers = used - (clients() + total(ours) - known)
        return Measured(told, cpu, memory, max(0.0, strangers / all_there_was))

    def _run(self, window: Window, subject: Subject) -> tuple[Told, float]:
        command = window.command(self.load, subject.port)
        memory, end = 0.0, time.monotonic() + MOST_SECONDS
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            while time.monotonic() < end:
                memory = max(memory, subject.memory())
                try:
                    child.wait(LOOK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    continue
            child.kill()
            return msgspec.json.decode(child.stdout.read(), type=Told), memory


def clients() -> float:
    """CPU seconds of all clients so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def total(subjects: Iterable[Subject]) -> float:
    return sum(one.cpu() for one in subjects)


def busy() -> tuple[float, float]:
    """(CPU seconds used, CPU seconds that there were) of the whole machine since its start."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return sum(times[:8]) - idle, sum(times[:8])
