"""The router's own check of each node: the cheapest model list, every 5 s give or take a fifth.

It is a hint: a server whose generation hangs answers it all the same, so what requests find out
weighs more. Two failures in a row count as down; that is the scheduler's to say.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from dpl_router.errors import DplError, NotFound, UpstreamBroke, UpstreamSilent
from dpl_router.listing import Listed

CHECK_SECONDS = 1.0
LOOK_SECONDS = 0.25
SPREAD = 0.2

log = structlog.get_logger()

Ask = Callable[[str], Awaitable[Sequence[Listed]]]
"""Node name -> the models it lists. Raises: NotFound where a reload took the node, DplError."""
Tell = Callable[[str, Sequence[Listed] | None, DplError | None], None]
"""(node, models or None where it did not answer, why not)."""


class HealthChecks:
    def __init__(self, ask: Ask, tell: Tell, *, interval: float) -> None:
        self._ask = ask
        self._tell = tell
        self._interval = interval
        self._surprising: set[str] = set()
        """Nodes that are answered for in the log: once, until they answer well."""

    async def run(self, names: Callable[[], Sequence[str]]) -> None:
        """Until cancelled; `names` is asked anew each time, so a reload needs no call."""
        due: dict[str, float] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                now = time.monotonic()
                for node in names():
                    if now >= due.get(node, 0.0):
                        due[node] = now + self._interval * random.uniform(1 - SPREAD, 1 + SPREAD)
                        group.create_task(self.once(node))
                await asyncio.sleep(LOOK_SECONDS)

    async def once(self, node: str) -> None:
        """Whatever this node does, the checks of all others go on."""
        try:
            await self._once(node)
        except Exception as error:  # an odd node must not end the checks of all others
            if node not in self._surprising:
                self._surprising.add(node)
                log.exception("the check of a node failed", node=node)
            why = f"its model list could not be read ({type(error).__name__})"
            self._tell(node, None, UpstreamBroke(why))

    async def _once(self, node: str) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                models = await self._ask(node)
        except TimeoutError:
            why = f"no answer to the model list in {CHECK_SECONDS:g} s"
            self._tell(node, None, UpstreamSilent(why))
        except NotFound:
            return
        except DplError as error:
            self._tell(node, None, error)
        else:
            self._tell(node, models, None)
            self._surprising.discard(node)
