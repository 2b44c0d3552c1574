"""Cordons as the router keeps them: changed in the loop, written to disk beside it, told onwards.

Operators and alerts both come here. A change holds at once, also where it cannot be written.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import structlog

from dpl_router.action_metrics import ActionMetrics
from dpl_router.nodes.cordon_file import CordonFile
from dpl_router.nodes.cordons import Cordon, Cordons

Made = TypeVar("Made")

log = structlog.get_logger()


class Cordoning:
    """`wall` is Unix time."""

    def __init__(self, file: CordonFile, wall: Callable[[], float], metrics: ActionMetrics) -> None:
        self._file = file
        self._metrics = metrics
        self._saving = asyncio.Lock()
        self._changes = 0
        self._saved = 0
        self.wall = wall
        self.now = Cordons(file.load())
        """To read. To change it go through `change`."""
        self.told: Callable[[frozenset[str]], None] = lambda _: None
        """Hears the names of all cordoned nodes whenever they are others: it costs a look at the
        whole fleet, which a renewal is not worth."""

    def change(self, make: Callable[[Cordons], Made]) -> Made:
        """Holds from now on; `saved` makes it last."""
        before = self.now.nodes()
        made = make(self.now)
        self._changes += 1
        if self.now.nodes() != before:
            self.told(self.now.nodes())
        return made

    async def saved(self) -> bool:
        """True: all changes so far outlast a restart. False: the disk does not take them."""
        async with self._saving:
            if self._saved == self._changes:
                return True
            changes, cordons = self._changes, self.now.all()
            try:
                await asyncio.to_thread(self._file.save, cordons)
            except OSError as error:
                log.error("cordons not saved", error=error.strerror, next="see to the disk")
                return False
            self._saved = changes
            return True

    async def by_operator(self, node: str, who: str, why: str) -> bool:
        """As `saved`."""
        if self.now.get(node, "") is None:
            self._metrics.cordons["operator"].inc()
        self.change(lambda cordons: cordons.by_operator(node, who, why, self.wall()))
        return await self.saved()

    def by_alert(self, cordon: Cordon) -> bool:
        """True: it is new; False: it was renewed. Not saved yet."""
        new = self.change(lambda cordons: cordons.by_alert(cordon))
        if new:
            self._metrics.cordons["alert"].inc()
        return new

    async def lift_all(self, node: str) -> tuple[tuple[Cordon, ...], bool]:
        """What stood on the node, and as `saved`."""
        lifted = self.change(lambda cordons: cordons.lift_all(node))
        return lifted, await self.saved()
