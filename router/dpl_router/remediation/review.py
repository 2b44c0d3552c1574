"""When cordons by alerts end: on evidence, at their time, or because too few are left to serve."""

import asyncio
import time
from collections.abc import Sequence

import structlog

from dpl_router.action_metrics import ActionMetrics, ActionOutcome
from dpl_router.nodes.cordoning import Cordoning
from dpl_router.nodes.cordons import Cordon
from dpl_router.remediation.evidence import Active, Health
from dpl_router.remediation.sight import Sight
from dpl_router.remediation.withheld import Withheld
from dpl_router.security.audit import AuditLog
from dpl_router.security.keys import Identity, Role

LOOK_SECONDS = 1.0
BREATH = 50
"""After so many cordons requests get their turn."""
CLOCK_STEP = 1.0
"""Seconds; less is the clock's usual care for its pace."""
ROUTER = Identity("router", Role.OPERATOR)
"""Who does what nobody asked for at that moment."""

log = structlog.get_logger()


class Review:
    """Seconds: a cordon by an alert `lasts` so long at most; a node must look well for `steady`
    before it counts as such, so that no reading from before the fault is taken for proof."""

    def __init__(
        self,
        cordoning: Cordoning,
        sight: Sight,
        metrics: ActionMetrics,
        audit: AuditLog,
        withheld: Withheld,
        *,
        lasts: float,
        steady: float,
    ) -> None:
        self._cordoning = cordoning
        self._sight = sight
        self._metrics = metrics
        self._audit = audit
        self._withheld = withheld
        self._lasts = lasts
        self._steady = steady
        self._well_since: dict[Cordon, float] = {}
        """Of the cordon as it stands: one that was renewed meanwhile is another."""
        self._unknown_since: dict[tuple[str, str], float] = {}
        """Cordon's key -> since when nothing is known of what it was made for."""
        self._clock = self._clock_ahead()
        self._drained: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        self._tell_withheld()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        await self._look()
        self._tell_withheld()

    def _tell_withheld(self) -> None:
        out = self._cordoning.now.nodes() | self._sight.listed()
        self._metrics.withheld(self._sight.nodes(), self._withheld.nodes() - out)

    async def _look(self) -> None:
        self._follow_clock()
        cordons = self._cordoning.now.by_alerts()
        for gone in self._well_since.keys() - set(cordons):
            del self._well_since[gone]
        if not cordons:
            self._unknown_since.clear()
            return
        now = self._cordoning.wall()
        if any(cordon.until is None or cordon.until > now + self._lasts for cordon in cordons):
            self._cordoning.change(lambda all_: all_.shorten(now + self._lasts))
        doubtful = any(cordon.resolved or _over(cordon, now) for cordon in cordons)
        active = await self._sight.active() if doubtful else ()
        self._note_unknown(cordons, active)
        for number, cordon in enumerate(self._cordoning.now.by_alerts(), 1):
            await self._judge(cordon, active, now)
            if not number % BREATH:
                await asyncio.sleep(0)
        if self._sight.ready():
            await self._keep_floor()
        await self._tell_drained()
        await self._cordoning.saved()

    async def _judge(self, cordon: Cordon, active: Active | None, now: float) -> None:
        if not self._sight.knows(cordon.node):
            await self._end(cordon, "lapsed", "nodes.yaml names the node no more")
            return
        over = _over(cordon, now)
        if not cordon.resolved and not over:
            return
        alert = "is over" if cordon.resolved else "was not repeated"
        match self._steadily(cordon, self._sight.health(cordon, active)):
            case "well":
                outcome: ActionOutcome = "lifted" if cordon.resolved else "lapsed"
                await self._end(cordon, outcome, f"its alert {alert} and the node is well")
            case "unwell" if over:  # also where its alert is silenced: that mends nothing
                self._cordoning.change(lambda all_: all_.prolong(cordon, now + self._lasts))
            case "unknown" if over:
                left = self._lasts - self._unknown_for(cordon)
                if left > 0:  # an exporter that is away for a moment proves nothing
                    self._cordoning.change(lambda all_: all_.prolong(cordon, now + left))
                else:
                    why = f"its alert {alert}; nothing is known of the node"
                    await self._end(cordon, "lapsed", why)

    def _note_unknown(self, cordons: Sequence[Cordon], active: Active | None) -> None:
        now = time.monotonic()
        unknown = {one.key for one in cordons if self._sight.health(one, active) == "unknown"}
        self._unknown_since = {key: self._unknown_since.get(key, now) for key in unknown}

    def _unknown_for(self, cordon: Cordon) -> float:
        """Seconds."""
        now = time.monotonic()
        return now - self._unknown_since.get(cordon.key, now)

    def _clock_ahead(self) -> float:
        return self._cordoning.wall() - time.monotonic()

    def _follow_clock(self) -> None:
        """A clock that is set forward, or a machine that slept, ends no cordon; one that is set
        back is bounded by `shorten`."""
        before, self._clock = self._clock, self._clock_ahead()
        if self._clock - before > CLOCK_STEP:
            self._cordoning.change(lambda all_: all_.shift(self._clock - before))

    def _steadily(self, cordon: Cordon, health: Health) -> Health | None:
        """None: well, but not yet for long enough."""
        if health != "well":
            self._well_since.pop(cordon, None)
            return health
        now = time.monotonic()
        since = self._well_since.setdefault(cordon, now)
        return "well" if now - since >= self._steady else None

    async def _keep_floor(self) -> None:
        """Another node may have gone since: a doubtful one is better than none. Who was taken out
        last comes back first, from all of its alerts: one that stays would keep it out."""
        floor = self._sight.floor()
        out: dict[str, list[Cordon]] = {}
        for cordon in self._cordoning.now.by_alerts():
            out.setdefault(cordon.node, []).append(cordon)
        for number, (node, cordons) in enumerate(reversed(out.items()), 1):
            against = floor.against(node)
            if against is not None:
                self._withheld.overruled(cordons)
                for cordon in cordons:
                    await self._end(cordon, "overruled", against)
            if not number % BREATH:
                await asyncio.sleep(0)

    async def _end(self, cordon: Cordon, outcome: ActionOutcome, why: str) -> None:
        self._well_since.pop(cordon, None)
        if not self._cordoning.change(lambda all_: all_.lift(cordon)):
            return
        self._metrics.actions[cordon.action, outcome].inc()
        await self._write("uncordon", cordon, f"{outcome}: {why}")

    async def _tell_drained(self) -> None:
        """Once for each drain, when nothing of ours runs there any more."""
        drains = {one.key: one for one in self._cordoning.now.by_alerts() if one.action == "drain"}
        self._drained &= drains.keys()
        for key in drains.keys() - self._drained:
            if not self._sight.busy(key[0]):
                self._drained.add(key)
                await self._write("drain", drains[key], "nothing of ours runs there any more")

    async def _write(self, action: str, cordon: Cordon, said: str) -> None:
        log.info("alert acts", action=action, node=cordon.node, alert=cordon.by, outcome=said)
        await asyncio.to_thread(
            self._audit.record, ROUTER, "", action, cordon.node, f"alert {cordon.by} {said}"
        )


def _over(cordon: Cordon, now: float) -> bool:
    return cordon.until is not None and now >= cordon.until
