"""Opens and closes what the app uses; owns the background tasks in one task group."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from litestar import Litestar
from litestar.datastructures import State

from dpl_router.control import Control
from dpl_router.fittings import Fittings
from dpl_router.inventory.watch import watch
from dpl_router.nodes.health import HealthChecks
from dpl_router.security.keys import KeysError, load_keys
from dpl_router.settings import Settings
from dpl_router.telemetry.poll import Poller

PEOPLE_SECONDS = 5.0
CLOSE_SECONDS = 2.0

log = structlog.get_logger()


class Lifespan:
    def __init__(
        self,
        *,
        settings: Settings,
        state: State,
        fittings: Fittings,
        poller: Poller,
        checks: HealthChecks,
        runners: Sequence[Callable[[], Awaitable[None]]],
        controls: Sequence[Control],
    ) -> None:
        self._settings = settings
        self._state = state
        self._fittings = fittings
        self._poller = poller
        self._checks = checks
        self._runners = runners
        self._controls = controls

    @asynccontextmanager
    async def __call__(self, _: Litestar) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_forever(run)) for run in self._jobs()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                # shielded: whoever stops waiting for us must not cost the nodes their leases
                await asyncio.shield(asyncio.ensure_future(self._close()))

    async def _close(self) -> None:
        """All side by side, so that no failure and no silence keeps the rest from its end."""
        ends = [self._fittings.close(), *(control.close() for control in self._controls)]
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                outcomes = await asyncio.gather(*ends, return_exceptions=True)
        except TimeoutError:
            log.error("not everything could be closed in time", seconds=CLOSE_SECONDS)
            return
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                log.error("a part could not be closed", exc_info=outcome)

    def _jobs(self) -> list[Callable[[], Awaitable[None]]]:
        settings = self._settings
        jobs = [
            *self._runners,
            self._facts,
            self._fittings.run,
            self._people,
            lambda: self._checks.run(lambda: list(self._fittings.clients)),
            lambda: watch(settings.nodes_file, self._fittings.reload, self._fittings.files),
        ]
        if settings.keys_file is not None:
            keys_file = settings.keys_file
            jobs.append(lambda: watch(keys_file, lambda: self._reload_keys(keys_file)))
        return jobs

    async def _facts(self) -> None:
        while True:
            await self._poller.facts()
            await self._fittings.tell_core_by_and_by()
            await asyncio.sleep(self._settings.poll_interval)

    async def _people(self) -> None:
        while True:
            await self._poller.people()
            await asyncio.sleep(PEOPLE_SECONDS)

    async def _reload_keys(self, path: Path) -> None:
        try:
            self._state["keyring"] = await asyncio.to_thread(load_keys, path)
        except KeysError as error:
            log.error("keys file refused, the old one is kept", mistakes=str(error))
        else:
            log.info("keys file applied")


async def _forever(run: Callable[[], Awaitable[None]]) -> None:
    """A background job that fails is a bug: it is told, and it goes on a second later."""
    while True:
        try:
            await run()
        except Exception as error:  # one bad answer must not end the polls
            log.error("background job failed", job=getattr(run, "__qualname__", ""), exc_info=error)
            await asyncio.sleep(1.0)
