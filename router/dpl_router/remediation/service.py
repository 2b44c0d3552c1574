"""What alerts do: cordon a node, and let it go when it is well again.

Only alerts with the label `action` ask for it, and the rules put that on nothing that the router
sees by itself: a dead exporter cordons nobody.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import structlog

from dpl_router.action_metrics import ActionMetrics, ActionOutcome, AlertAction
from dpl_router.control import NO_ANSWER, Control
from dpl_router.errors import BadRequest, Unavailable
from dpl_router.nodes.cordoning import Cordoning
from dpl_router.nodes.cordons import Cordon
from dpl_router.remediation.payload import MOST_ALERTS, Alert, Payload, read, words
from dpl_router.remediation.sight import FloorNow, Sight
from dpl_router.remediation.withheld import Withheld
from dpl_router.security.audit import AuditLog
from dpl_router.security.keys import Identity
from dpl_router.telemetry.alerts import firing_at

REPEATS = 3
"""For so many repeats of its alert a cordon lasts."""
MOST_TOLD = 2 * MOST_ALERTS
"""More than one call can hold, so that its repeats write nothing."""
MOST_ON_NODE = 32
"""Alerts that cordon one node; one alone keeps it out."""
BREATH = 20
"""After so many alerts requests get their turn."""
ACTIONS = ("cordon", "drain")
REFUSED = ("floor", "unknown_node")
"""Whatever the alert."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    identity: Identity
    address: str


class Outcome(msgspec.Struct, frozen=True):
    """What came of one alert."""

    fingerprint: str
    node: str
    outcome: str
    """cordoned, renewed, floor, unknown_node, ignored, resolved."""
    why: str = ""


class Remediation:
    """`repeat`: seconds between two repeats of an alert; `alertmanager`: where the rest of a call
    is read that was cut short; `stop_unanswered` (node, why) sends elsewhere what has no word yet:
    a node that hangs would keep it for the whole of its time."""

    def __init__(
        self,
        cordoning: Cordoning,
        sight: Sight,
        metrics: ActionMetrics,
        audit: AuditLog,
        alertmanager: Control | None,
        stop_unanswered: Callable[[str, str], None],
        *,
        repeat: float,
    ) -> None:
        self._cordoning = cordoning
        self._sight = sight
        self._metrics = metrics
        self._audit = audit
        self._alertmanager = alertmanager
        self._stop_unanswered = stop_unanswered
        self.lasts = REPEATS * repeat
        self.withheld = Withheld(self.lasts)
        self._told: dict[tuple[str, str], str] = {}
        """(node, fingerprint) -> what was written down last, so that repeats fill no file; the
        newest last. Of what is true of the whole node the fingerprint is empty."""

    async def receive(self, body: bytes, caller: Caller) -> list[Outcome]:
        """One call of Alertmanager's; the same call again changes nothing but the end.

        Raises: BadRequest, and then nothing has changed. Unavailable where the call was cut short
        and the rest is not to be had now: what is there has been done, and it shall come again.
        """
        try:
            payload = read(body)
        except BadRequest:
            self._metrics.webhooks["refused"].inc()
            raise
        missing: Unavailable | None = None
        alerts: Sequence[Alert] = payload.alerts
        if payload.truncatedAlerts:
            try:
                alerts = [*alerts, *await self._rest(payload)]
            except Unavailable as error:
                missing = error
        outcomes, floor = [], self._sight.floor()
        for number, alert in enumerate(alerts, 1):
            outcomes.append(await self._take(alert, caller, floor))
            if not number % BREATH:
                await asyncio.sleep(0)
        await self._cordoning.saved()
        self._metrics.webhooks["ok" if missing is None else "incomplete"].inc()
        if missing is not None:
            raise missing
        return outcomes

    async def _rest(self, payload: Payload) -> list[Alert]:
        """Raises: Unavailable."""
        if self._alertmanager is None:
            raise Unavailable("the call was cut short; start the router with --alertmanager-url")
        told = {alert.fingerprint for alert in payload.alerts}
        try:
            firing = await firing_at(self._alertmanager, payload.receiver)
        except NO_ANSWER as error:
            raise Unavailable(f"the call was cut short, and {error.message}", 5) from error
        return [
            Alert("firing", one.labels, one.fingerprint, one.annotations)
            for one in firing
            if one.fingerprint not in told
        ]

    async def _take(self, alert: Alert, caller: Caller, floor: FloorNow) -> Outcome:
        action = alert.labels.get("action", "")
        if action not in ACTIONS or not alert.node:
            return Outcome(alert.fingerprint, alert.node, "ignored", "no action, or no node")
        if alert.status == "resolved":
            return await self._resolved(alert, caller)
        outcome = self._fire(alert, floor)
        if outcome.outcome not in ("renewed", "ignored"):
            count = cast(ActionOutcome, outcome.outcome)
            self._metrics.actions[cast(AlertAction, action), count].inc()
            await self._write(caller, action, outcome, f"{outcome.outcome}: {outcome.why}")
        return outcome

    def _fire(self, alert: Alert, floor: FloorNow) -> Outcome:
        node, mark = alert.node, alert.fingerprint
        if not self._sight.knows(node):
            return Outcome(mark, words(node), "unknown_node", "nodes.yaml does not name it")
        against, known = floor.against(node), self._cordoning.now.get(node, mark)
        if against is not None:  # the review lifts what stands there
            self.withheld.refused(node, mark)
            return Outcome(mark, node, "floor", against)
        if known is None and self._cordoning.now.alerts_on(node) >= MOST_ON_NODE:
            return Outcome(mark, node, "ignored", f"{MOST_ON_NODE} alerts cordon it already")
        now = self._cordoning.wall()
        cordon = Cordon(
            node,
            "alert",
            alert.name,
            alert.why,
            since=now,
            until=now + self.lasts,
            fingerprint=mark,
            scope=alert.labels.get("scope", ""),
            gpu=alert.labels.get("gpu", ""),
            action=cast(AlertAction, alert.labels["action"]),
        )
        self.withheld.over(node, mark)
        if not self._cordoning.by_alert(cordon):
            return Outcome(mark, node, "renewed", f"by alert {alert.name}")
        self._stop_unanswered(node, f"{node} was cordoned by alert {alert.name}")
        return Outcome(mark, node, "cordoned", f"by alert {alert.name}")

    async def _resolved(self, alert: Alert, caller: Caller) -> Outcome:
        """Noted; the cordon ends on evidence."""
        node, mark = alert.node, alert.fingerprint
        for key in ((node, mark), (node, "")):
            self._told.pop(key, None)
        self.withheld.over(node, mark)
        outcome = Outcome(mark, words(node), "resolved", f"alert {alert.name} is over")
        if self._cordoning.change(lambda cordons: cordons.mark_resolved(node, mark)):
            await self._write(caller, "uncordon", outcome, "the node must be well first")
        return outcome

    async def _write(self, caller: Caller, action: str, outcome: Outcome, said: str) -> None:
        """Into the log and the audit log, once while nothing changes."""
        mark, refused = outcome.fingerprint, outcome.outcome in REFUSED
        key = outcome.node, "" if refused else mark
        self._told.pop((outcome.node, mark if refused else ""), None)
        known = self._told.pop(key, None)
        self._told[key] = outcome.outcome
        if known == outcome.outcome:
            return
        if len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        level = log.warning if refused else log.info
        level("alert acts", action=action, node=outcome.node, outcome=said)
        await asyncio.to_thread(
            self._audit.record, caller.identity, caller.address, action, outcome.node, said
        )
