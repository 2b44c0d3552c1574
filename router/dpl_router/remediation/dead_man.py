"""The dead man's switch: Alertmanager calls every few seconds, or the way to it is broken.

Alertmanager cannot tell of its own death, so the router does: a banner on the pages, a line in the
log, a metric, and what `herald` sends.
"""

import asyncio
import time

import structlog

from dpl_router.metrics import ViewMetrics

SILENCE_SECONDS = 60.0
"""Alertmanager repeats the call every 10 s; six missed in a row are no accident."""
START = 3
"""So many times longer for the first call: Prometheus and Alertmanager may start after us."""
LOOK_SECONDS = 1.0

log = structlog.get_logger()


class DeadMan:
    """Remembers the last call. `awaited`: there is an Alertmanager, so a first call must come;
    `silence`: seconds without one."""

    def __init__(
        self, metrics: ViewMetrics, *, awaited: bool = False, silence: float = SILENCE_SECONDS
    ) -> None:
        self._metrics = metrics
        self._silence = silence
        self._awaited = awaited
        self._began = time.monotonic()
        self._told = False
        self.last: float | None = None
        """Monotonic time of the last call; None before the first."""

    def heard(self) -> None:
        self.last = time.monotonic()
        self._metrics.watchdog_timestamp.set(time.time())
        self.look(self.last)

    def silent(self, now: float) -> bool:
        """The call is overdue; `now` is monotonic."""
        if self.last is not None:
            return now - self.last > self._silence
        return self._awaited and now - self._began > START * self._silence

    def look(self, now: float) -> None:
        """Tell once when the silence begins, and once when it ends."""
        silent = self.silent(now)
        self._metrics.watchdog_silent.set(silent)
        if silent and not self._told:
            since = None if self.last is None else round(now - self.last)
            log.error(
                "alarm chain silent",
                last_heard_seconds=since,
                next="see whether Prometheus and Alertmanager run",
            )
        elif self._told and not silent:
            log.info("alarm chain heard again")
        self._told = silent

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)
