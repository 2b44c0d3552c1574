"""What Alertmanager calls: the webhook of alerts that act, and the dead man's switch."""

from typing import Any

import msgspec
from litestar import Controller, Request, post
from litestar.di import NamedDependency

from dpl_router.bodies import body_of
from dpl_router.remediation.dead_man import DeadMan
from dpl_router.remediation.service import Caller, Outcome, Remediation
from dpl_router.security.guards import identity_of, operator

MOST_BODY = 4 * 1024 * 1024


class Received(msgspec.Struct, frozen=True):
    outcomes: list[Outcome]


class RemediationController(Controller):
    path = "/alertmanager"

    @post("/webhook", guards=[operator], status_code=200, request_max_body_size=MOST_BODY)
    async def webhook(
        self, request: Request[Any, Any, Any], remediation: NamedDependency[Remediation]
    ) -> Received:
        """Cordon whom an alert says, within the fleet floor; a repeat renews. 503 where the call
        was cut short and the rest could not be read: it comes again."""
        client = request.scope.get("client")
        caller = Caller(identity_of(request.scope), client[0] if client else "")
        return Received(await remediation.receive(await body_of(request), caller))

    @post("/heartbeat", guards=[operator], status_code=204)
    async def heartbeat(self, dead_man: NamedDependency[DeadMan]) -> None:
        """Prometheus, its rules, Alertmanager and the way from there to here all work."""
        dead_man.heard()
