"""What the pages show at one moment, put together from the services below."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dpl_router.diagnostics.chain import Health
from dpl_router.fleet.schemas import NodeStatus, Overview
from dpl_router.fleet.service import Fleet
from dpl_router.pages.alert_watch import AlertWatch
from dpl_router.pages.picker import Choice, choices
from dpl_router.pages.slices import sliced
from dpl_router.remediation.dead_man import DeadMan
from dpl_router.telemetry.alerts import Alert
from dpl_router.telemetry.view import FleetView

CLOCK_STEP = 2.0
SETTLE_SECONDS = 20.0
"""What was never heard of since the router's start is only missed after that long: it may be
starting as well, and a first scrape and a first rule take an interval each."""

RANK = {"ready": 0, "busy": 0, "cordoned": 1, "locked": 1, "failing": 2, "offline": 3}
"""Ready and busy count alike, or rows would jump with every request."""


@dataclass(frozen=True, slots=True)
class Banner:
    kind: Literal["warn", "bad"]
    title: str
    text: str
    """What it means."""
    command: str
    what_for: str
    """What the command does, as the end of its sentence."""


@dataclass(frozen=True, slots=True)
class NodeRow:
    status: NodeStatus
    alerts: int
    """Active and not silenced."""
    as_of: float | None
    """When it was measured (seconds since 1970), where that is too long ago; else None."""


@dataclass(frozen=True, slots=True)
class Scene:
    starting: bool
    """Not every node was asked yet."""
    overview: Overview
    rows: Sequence[NodeRow]
    choices: Sequence[Choice]
    """What the model picker offers."""
    alerts: Sequence[Alert]
    alerts_at: float | None
    """When the alerts were read, where they are not current."""
    prometheus: Health
    alertmanager: Health
    heartbeat: float | None
    """Seconds since 1970."""
    banners: Sequence[Banner]


class Scenery:
    """Makes scenes. Reads cached views only: at once, also with everything else dead."""

    def __init__(
        self,
        fleet: Fleet,
        view: FleetView,
        watch: AlertWatch,
        dead_man: DeadMan,
        *,
        promql: bool,
        settle: float = SETTLE_SECONDS,
    ) -> None:
        """`promql`: a Prometheus is configured."""
        self._fleet = fleet
        self._view = view
        self._watch = watch
        self._dead_man = dead_man
        self._promql = promql
        self._settled = time.monotonic() + settle
        self._offset = time.time() - time.monotonic()

    async def now(self) -> Scene:
        rows = await self._rows()
        models = self._fleet.merged(await sliced(self._fleet.each_served()))
        overview = self._fleet.summed([row.status for row in rows], models)
        starting = not self._view.asked_all()
        prometheus, alertmanager = self.prometheus(), self.alertmanager()
        return Scene(
            starting=starting,
            overview=overview,
            rows=rows,
            choices=choices(models),
            alerts=self._watch.alerts,
            alerts_at=self._wall(self._alerts_at(prometheus)),
            prometheus=prometheus,
            alertmanager=alertmanager,
            heartbeat=self._wall(self._dead_man.last),
            banners=self._banners(overview, prometheus, alertmanager),
        )

    async def _rows(self) -> list[NodeRow]:
        alerts: dict[str, int] = {}
        for alert in self._watch.alerts:
            if alert.node is not None and not alert.silenced:
                alerts[alert.node] = alerts.get(alert.node, 0) + 1
        rows = await sliced(self._row(status, alerts) for status in self._fleet.each_status())
        return sorted(rows, key=lambda row: (RANK.get(row.status.state, 4), row.status.name))

    def _row(self, status: NodeStatus, alerts: Mapping[str, int]) -> NodeRow:
        now = time.monotonic()
        old = status.age is not None and not self._view.fresh(status.name, now)
        as_of = self._wall(now - status.age) if old and status.age is not None else None
        return NodeRow(status, alerts.get(status.name, 0), as_of)

    def _alerts_at(self, prometheus: Health) -> float | None:
        """Of when the alerts are, on the monotonic clock; None where they are current. Without
        Prometheus Alertmanager holds for minutes what it was told last."""
        if self._watch.problem:
            return self._watch.read_at
        return self._view.promql_at if prometheus == "down" else None

    def prometheus(self) -> Health:
        if not self._promql:
            return "none"
        if self._view.mode == "promql":
            return "ok"
        return "starting" if self._settling() and self._view.promql_at is None else "down"

    def alertmanager(self) -> Health:
        if not self._watch.configured:
            return "none"
        if self._watch.problem is None:
            return "ok" if self._watch.read_at is not None else "starting"
        return "starting" if self._settling() and self._watch.read_at is None else "down"

    def _settling(self) -> bool:
        return time.monotonic() < self._settled

    def _banners(
        self, overview: Overview, prometheus: Health, alertmanager: Health
    ) -> list[Banner]:
        banners = []
        if mistakes := overview.nodes_file_mistakes:
            more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
            banners.append(
                Banner(
                    "warn",
                    "The nodes file has mistakes",
                    f"{mistakes[0]}{more}; the old one is in use.",
                    "dpl config check FILE",
                    "names each with its line",
                )
            )
        if self._dead_man.silent(time.monotonic()):
            banners.append(
                Banner(
                    "bad",
                    "The alarm chain is silent",
                    "The heartbeat that Prometheus sends through Alertmanager every 10 s "
                    f"{'has stopped' if self._dead_man.last else 'never came'}: alerts may not "
                    "reach anybody.",
                    "dpl stack status",
                    "shows what runs",
                )
            )
        if prometheus == "down":
            how = (
                "the router asks the exporters itself"
                if self._view.mode == "direct"
                else "nodes are chosen by the router's own checks alone"
            )
            banners.append(
                Banner(
                    "warn",
                    "Prometheus gives no fresh facts",
                    f"Chats go on: {how}.",
                    "dpl stack start prometheus",
                    "starts it again",
                )
            )
        if alertmanager == "down":
            banners.append(
                Banner(
                    "warn",
                    "Alertmanager does not answer",
                    f"New alerts are not known ({self._watch.problem}).",
                    "dpl stack start alertmanager",
                    "starts it again",
                )
            )
        return banners

    def _wall(self, at: float | None) -> float | None:
        """Steady while the clock is: a jitter would make every row look changed."""
        offset = time.time() - time.monotonic()
        if abs(offset - self._offset) > CLOCK_STEP:
            self._offset = offset
        return None if at is None else round(at + self._offset)
