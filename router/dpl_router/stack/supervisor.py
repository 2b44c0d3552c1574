"""All parts of the stack: started in the order of need, stopped in the order of harm."""

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dpl_router.errors import DplError
from dpl_router.stack.child import Child, PartFailed
from dpl_router.stack.logs import Speak

QUICK = 1.8
"""Seconds within which a quick stop has ended everything."""
ROUTER_QUICK = 1.0
"""Of these the router's: open streams end with an error event, leases are given back."""


class PartUnknown(DplError):
    code = "part_unknown"


class Supervisor:
    """`stages`: names that start side by side, stage after stage, each once the one before is
    ready. `optional`: parts without which the others go on.
    """

    def __init__(
        self,
        children: Mapping[str, Child],
        stages: Sequence[Sequence[str]],
        stopping: Sequence[Sequence[str]],
        optional: frozenset[str],
        talk: Speak,
    ) -> None:
        self._children = children
        self._stages = stages
        self._stopping = stopping
        self._optional = optional
        self._talk = talk
        self._turns = {name: asyncio.Lock() for name in children}

    async def start(self) -> None:
        """Raises: PartFailed; what had been started goes on running until `stop`."""
        for stage in self._stages:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._start(name)) for name in stage]
            for task in tasks:
                if failure := task.result():
                    raise failure

    async def _start(self, name: str) -> PartFailed | None:
        """The failure is an answer, so that its siblings are not cancelled half-way."""
        try:
            async with self._turns[name]:
                await self._children[name].start()
        except PartFailed as failure:
            if name not in self._optional:
                return failure
            back = f"dpl stack start {name}"
            self._talk(name, f"{failure.message}; going on without it; once it is mended: {back}")
        return None

    async def stop(self, how: signal.Signals) -> None:
        """SIGTERM drains: the router has its time. SIGINT is quick: 2 s for everything."""
        end = time.monotonic() + QUICK
        for child in self._children.values():
            child.hush()
        for stage in self._stopping:
            await asyncio.gather(*(self._stop(name, how, end) for name in stage))

    async def _stop(self, name: str, how: signal.Signals, end: float) -> None:
        child = self._children[name]
        if how is signal.SIGTERM:
            await child.stop(how, child.part.grace)
            return
        left = max(0.0, end - time.monotonic())
        if name == "router":
            await child.stop(signal.SIGINT, min(left, ROUTER_QUICK))
        else:
            await child.stop(signal.SIGTERM, left / 2)

    async def stop_part(self, name: str) -> None:
        """Raises: PartUnknown."""
        child = self._known(name)
        async with self._turns[name]:
            await child.stop(signal.SIGTERM, child.part.grace)
        self._talk(name, "stopped on request")

    async def start_part(self, name: str) -> None:
        """Raises: PartUnknown, PartFailed."""
        child = self._known(name)
        async with self._turns[name]:
            await child.start()
        self._talk(name, "started on request")

    def _known(self, name: str) -> Child:
        try:
            return self._children[name]
        except KeyError:
            known = ", ".join(self._children)
            raise PartUnknown(f"this stack has no part {name!r}; it has {known}") from None

    def failed(self) -> set[str]:
        """Those that could not be started, and do not run."""
        return {name for name, child in self._children.items() if child.state == "failed"}

    def status(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "state": child.state,
                "pid": child.pid,
                "restarts": child.restarts,
                "command": " ".join(child.part.command),
            }
            for name, child in self._children.items()
        ]
