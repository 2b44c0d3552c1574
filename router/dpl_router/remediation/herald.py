"""Tells people that the alarm chain is silent, by a way that does not go through it."""

import asyncio
import socket
import time

import structlog

from dpl_router.control import NO_ANSWER
from dpl_router.remediation.dead_man import DeadMan
from dpl_router.remediation.ways import Notice, Way

LOOK_SECONDS = 1.0
AGAIN_SECONDS = 30.0
MOST_TRIES = 20
"""Of one notice: then ten minutes have passed, and who looks sees the banner."""
APART_SECONDS = 300.0
"""From one silence that was told to the next: a chain that comes and goes fills no letter box."""

log = structlog.get_logger()


class Herald:
    """One way to people, by the `name` that the log shows: what was told by it last, and what was
    tried since. A slow one holds up nobody else."""

    def __init__(self, dead_man: DeadMan, name: str, way: Way) -> None:
        self._dead_man = dead_man
        self._name = name
        self._way = way
        self._told = False
        """That the chain is silent."""
        self._tries = 0
        self._again_at = 0.0
        self._quiet_until = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look(time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now: float) -> None:
        """`now` is monotonic."""
        silent = self._dead_man.silent(now)
        if silent == self._told:
            self._tries, self._again_at = 0, 0.0
            return
        if (
            self._tries >= MOST_TRIES
            or now < self._again_at
            or (silent and now < self._quiet_until)
        ):
            return
        self._tries += 1
        self._again_at = now + AGAIN_SECONDS
        try:
            await self._way(notice(silent))
        except NO_ANSWER as error:
            log.error("alarm not told", way=self._name, attempt=self._tries, why=error.message)
            return
        self._told, self._tries, self._again_at = silent, 0, 0.0
        if silent:
            self._quiet_until = now + APART_SECONDS
        log.info("alarm told", way=self._name, silent=silent)


def notice(silent: bool) -> Notice:
    host = socket.gethostname()
    if not silent:
        return Notice(
            False,
            "[RESOLVED] The alarm chain is heard again",
            f"The router on {host} gets the heartbeat of Prometheus and Alertmanager again.",
        )
    return Notice(
        True,
        "[FIRING] The alarm chain is silent",
        f"The router on {host} gets no heartbeat from Prometheus through Alertmanager: alerts may "
        "not reach anybody. See whether both run: `dpl stack status`, and the router's overview.",
    )
