"""Tells people that the alarm chain is silent, by ways that do not go through it."""

import asyncio
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from dpl_router.control import NO_ANSWER
from dpl_router.remediation.dead_man import DeadMan
from dpl_router.remediation.ways import Notice, Way

LOOK_SECONDS = 1.0
AGAIN_SECONDS = 30.0
MOST_TRIES = 20
"""Of one notice by one way: then ten minutes have passed, and who looks sees the banner."""

log = structlog.get_logger()


@dataclass
class Course:
    """One way to people: what was told by it last, and what was tried since."""

    way: Way
    told: bool = False
    """That the chain is silent."""
    tries: int = 0
    again_at: float = 0.0


class Herald:
    """`ways` by the name that the log shows; none: nobody is told but those who look."""

    def __init__(self, dead_man: DeadMan, ways: Mapping[str, Way]) -> None:
        self._dead_man = dead_man
        self._courses = {name: Course(way) for name, way in ways.items()}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look(time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now: float) -> None:
        """`now` is monotonic."""
        silent = self._dead_man.silent(now)
        await asyncio.gather(
            *(self._keep(name, course, silent, now) for name, course in self._courses.items())
        )

    async def _keep(self, name: str, course: Course, silent: bool, now: float) -> None:
        if silent == course.told:
            course.tries, course.again_at = 0, 0.0
            return
        if course.tries >= MOST_TRIES or now < course.again_at:
            return
        course.tries += 1
        course.again_at = now + AGAIN_SECONDS
        try:
            await course.way(notice(silent))
        except NO_ANSWER as error:
            log.error("alarm not told", way=name, attempt=course.tries, why=error.message)
        else:
            course.told, course.tries, course.again_at = silent, 0, 0.0
            log.info("alarm told", way=name, silent=silent)


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
