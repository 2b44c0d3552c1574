"""Xid errors of NVIDIA cards: the driver tells each once, to who waits for it."""

import ctypes
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from dpl_exporter.collectors.nvml import TIMEOUT, Handle, Nvml
from dpl_exporter.errors import CardLost, DriverFailed

WAIT_MS = 500
PATIENCE = 1.0
"""Seconds that `stop` waits, and that pass between two waits which failed."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Seen:
    """How often, and when last (seconds since 1970)."""

    count: int
    last: float


class XidWatch:
    """Waits on a thread of its own; what it has seen outlives a card that is lost.

    Source: nvmlEventSetWait_v2 with nvmlEventTypeXidCriticalError.
    """

    def __init__(self, nvml: Nvml, wall: Callable[[], float]) -> None:
        self._nvml = nvml
        self._wall = wall
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int], Seen] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, cards: Mapping[str, Handle]) -> None:
        """`cards` by their label. Those that have no events are left out."""
        names: dict[int | None, str] = {}
        events = self._nvml.ask("EventSetCreate")
        if events is None:
            return
        for index, handle in cards.items():
            if self._register(handle, events):
                names[_address(handle)] = index
        if not names:
            self._nvml.ask("EventSetFree", events)
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._wait, args=(events, names, self._stop), name="xid", daemon=True
        )
        self._thread.start()

    def stop(self) -> bool:
        """Before NVML is closed; False where its call does not come back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(PATIENCE)
            if self._thread.is_alive():
                return False
            self._thread = None
        return True

    def families(self) -> Iterable[Metric]:
        """dpl_gpu_xid_*{gpu,xid}: nothing before the first, since these are events."""
        count = CounterMetricFamily(
            "dpl_gpu_xid_errors_total",
            "Errors that the driver reported since the exporter started.",
            labels=["gpu", "xid"],
        )
        last = GaugeMetricFamily(
            "dpl_gpu_xid_last_timestamp_seconds",
            "When it reported the last one.",
            labels=["gpu", "xid"],
        )
        with self._lock:
            for (gpu, xid), seen in self._seen.items():
                count.add_metric([gpu, str(xid)], seen.count)
                last.add_metric([gpu, str(xid)], seen.last)
        return [count, last] if count.samples else []

    def _register(self, handle: Handle, events: object) -> bool:
        xid = self._nvml.constant("nvmlEventTypeXidCriticalError")
        try:
            if not (self._nvml.ask("DeviceGetSupportedEventTypes", handle) or 0) & xid:
                return False
            self._nvml.must("DeviceRegisterEvents", handle, xid, events)
        except (CardLost, DriverFailed):
            return False
        return True

    def _wait(self, events: object, names: Mapping[int | None, str], stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                event = self._nvml.must("EventSetWait_v2", events, WAIT_MS)
            except (CardLost, DriverFailed) as error:
                if getattr(error, "code", None) != TIMEOUT:
                    stop.wait(PATIENCE)  # one lost card makes every wait fail at once
                continue
            self._record(names.get(_address(event.device), "unknown"), int(event.eventData))

    def _record(self, gpu: str, xid: int) -> None:
        with self._lock:
            seen = self._seen.setdefault((gpu, xid), Seen(0, 0.0))
            seen.count += 1
            seen.last = self._wall()
        log.warning("gpu reported an error gpu=%s xid=%s", gpu, xid)


def _address(handle: Handle) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value
