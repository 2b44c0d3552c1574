"""What operators do to one node, under /api/nodes: each call is written to the audit log."""

from typing import Any, TypeVar

from litestar import Controller, Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from dpl_router.bodies import wish_of
from dpl_router.errors import DplError
from dpl_router.fleet.audited import record
from dpl_router.fleet.operate import Operating
from dpl_router.fleet.schemas import (
    Cordoned,
    Drained,
    DrainWish,
    Locked,
    LockWish,
    Reasoned,
    Uncordoned,
    Unlocked,
)
from dpl_router.security.audit import AuditLog
from dpl_router.security.guards import identity_of, operator

Call = Request[Any, Any, Any]
Done = TypeVar("Done")

MOST_BODY = 64 * 1024


class NodesController(Controller):
    path = "/api/nodes/{name:str}"
    guards = [operator]  # noqa: RUF012 - the framework's own way to say it
    request_max_body_size = MOST_BODY

    @post("/cordon", status_code=200)
    async def cordon(
        self,
        request: Call,
        name: FromPath[str],
        operating: NamedDependency[Operating],
        audit: NamedDependency[AuditLog],
    ) -> Cordoned:
        """Send nothing new to `name`; running answers finish."""
        async with Audited(request, audit, "cordon", name) as told:
            wish = await wish_of(request, Reasoned)
            told.why = wish.reason
            return told(await operating.cordon(name, who(request), wish.reason), "ok")

    @post("/uncordon", status_code=200)
    async def uncordon(
        self,
        request: Call,
        name: FromPath[str],
        operating: NamedDependency[Operating],
        audit: NamedDependency[AuditLog],
    ) -> Uncordoned:
        """Whoever cordoned it. 409 where nodes.yaml did."""
        async with Audited(request, audit, "uncordon", name) as told:
            return told(await operating.uncordon(name), "ok")

    @post("/drain", status_code=200)
    async def drain(
        self,
        request: Call,
        name: FromPath[str],
        operating: NamedDependency[Operating],
        audit: NamedDependency[AuditLog],
    ) -> Drained:
        """Cordon, then wait for running answers; `drained` is false where some still run."""
        async with Audited(request, audit, "drain", name) as told:
            wish = await wish_of(request, DrainWish)
            told.why = wish.reason
            cordoned = await operating.cordon(name, who(request), wish.reason or "drained")
            await told.write("begun")
            done = await operating.drain(cordoned, wish)
            return told(done, f"{done.running} still run, {done.cut} cut")

    @post("/lock", status_code=200)
    async def lock(
        self,
        request: Call,
        name: FromPath[str],
        operating: NamedDependency[Operating],
        audit: NamedDependency[AuditLog],
    ) -> Locked:
        """Hold the whole node until `unlock`. 409 where it cannot be had in time."""
        async with Audited(request, audit, "lock", name) as told:
            wish = await wish_of(request, LockWish)
            told.why = wish.reason
            return told(await operating.lock(name, who(request), wish), "ok")

    @post("/unlock", status_code=200)
    async def unlock(
        self,
        request: Call,
        name: FromPath[str],
        operating: NamedDependency[Operating],
        audit: NamedDependency[AuditLog],
    ) -> Unlocked:
        """End our lock; where there is none, release whoever holds the node."""
        async with Audited(request, audit, "unlock", name) as told:
            done = await operating.unlock(name)
            return told(done, done.outcome)


class Audited:
    """Writes a line at the end of the block: what was told, or why it was refused."""

    def __init__(self, request: Call, audit: AuditLog, action: str, target: str) -> None:
        self._request = request
        self._audit = audit
        self._action = action
        self._target = target
        self._outcome = ""
        self.why = ""
        """The operator's own reason."""

    async def __aenter__(self) -> "Audited":
        return self

    def __call__(self, done: Done, outcome: str) -> Done:
        self._outcome = outcome
        return done

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        outcome = error.message if isinstance(error, DplError) else self._outcome
        if outcome:
            await self.write(outcome)

    async def write(self, outcome: str) -> None:
        """At once, of what takes long."""
        await record(self._request, self._audit, self._action, self._target, outcome, self.why)


def who(request: Call) -> str:
    return identity_of(request.scope).name
