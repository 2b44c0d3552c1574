"""Power, energy and clock of a Mac's GPU, from `powermetrics`, which only root may run."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dpl_exporter.collectors.gpu_apple import read_plist
from dpl_exporter.collectors.gpu_card import Power
from dpl_exporter.errors import Failed

COMMAND = (
    "powermetrics", "--samplers", "gpu_power,cpu_power,thermal", "-f", "plist", "-i", "1000",
)  # fmt: skip
STALE = 10.0
"""Seconds after which a sample is no news, and between two starts of a tool that ended."""
LARGEST = 4 << 20
"""Bytes of one sample; an M2 Ultra's has 65 KB."""
SLOWEST = 1e6
"""A clock below is not meant in hertz."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the GPU used over one interval: joules, watts, hertz; `pressed` by heat."""

    joules: float
    watts: float | None
    clock: float | None
    pressed: bool | None


def parse_sample(said: bytes) -> Sample:
    """Energy is millijoules, power milliwatts. `freq_hz` is hertz for CPUs and megahertz for the
    GPU (seen on M1 to M2 Ultra). Raises: ValueError where that is no sample.
    """
    found = read_plist(said.strip(b"\0 \n"))
    gpu = _part(found, "gpu")
    joules = _number(gpu, "gpu_energy")
    if joules is None:
        raise ValueError("no gpu_energy")
    milliwatts = _number(_part(found, "processor"), "gpu_power")
    elapsed = _number(found, "elapsed_ns")
    if milliwatts is None and elapsed:
        milliwatts = joules / elapsed * 1e9
    clock = _number(gpu, "freq_hz")
    pressure = found.get("thermal_pressure")
    return Sample(
        joules=joules / 1000,
        watts=None if milliwatts is None else milliwatts / 1000,
        clock=clock * 1e6 if clock is not None and clock < SLOWEST else clock,
        pressed=pressure != "Nominal" if isinstance(pressure, str) else None,
    )


def samples(read: Callable[[], bytes]) -> Iterator[bytes]:
    """The property lists in what it prints; a zero byte stands before each but the first."""
    held = b""
    while piece := read():
        *whole, held = (held + piece).split(b"\0")
        yield from (one for one in whole if one.strip())
        if held.rstrip().endswith(b"</plist>"):  # it says no more for a second
            yield held
            held = b""
        if len(held) > LARGEST:
            return


class PowerMetrics:
    """Runs the tool and keeps its last sample. It ends with us: it cannot write any more.

    `read` raises Failed while there is no fresh sample.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        start: Callable[[], subprocess.Popen[bytes]] = lambda: subprocess.Popen(
            COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ),
    ) -> None:
        self._now = monotonic
        self._start = start
        self._lock = threading.Lock()
        self._last: Sample | None = None
        self._last_at = float("-inf")
        self._started_at = float("-inf")
        self._joules = 0.0
        self._thread: threading.Thread | None = None

    def read(self) -> Power:
        """Energy is since the exporter started."""
        self._be_running()
        with self._lock:
            last, joules = self._last, self._joules
            fresh = self._now() - self._last_at <= STALE
        if last is None or not fresh:
            if self._is_running() and self._now() - self._started_at <= STALE:
                return Power()  # the first sample takes a second
            raise Failed("powermetrics says nothing: it must be run as root")
        return Power(
            energy=joules,
            watts=last.watts,
            clocks={"sm": last.clock},
            held={} if last.pressed is None else {"sw_thermal": float(last.pressed)},
        )

    def _be_running(self) -> None:
        if self._is_running() or self._now() - self._started_at <= STALE:
            return
        self._started_at = self._now()
        try:
            process = self._start()
        except OSError as error:
            raise Failed(f"powermetrics: {error.strerror}") from None
        self._thread = threading.Thread(
            target=self._listen, args=(process,), name="powermetrics", daemon=True
        )
        self._thread.start()

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        with process:
            if process.stdout is not None:
                pipe = process.stdout.fileno()
                for said in samples(lambda: os.read(pipe, 65536)):
                    self._keep(said)
            process.kill()

    def _keep(self, said: bytes) -> None:
        try:
            sample = parse_sample(said)
        except ValueError:
            return
        with self._lock:
            self._last, self._last_at = sample, self._now()
            self._joules += sample.joules


def _part(found: Any, name: str) -> Mapping[str, Any]:
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, dict) else {}


def _number(found: Any, name: str) -> float | None:
    value = found.get(name) if isinstance(found, dict) else None
    return float(value) if isinstance(value, int | float) and value >= 0 else None
