"""Alertmanager's active alerts. Nothing is computed twice: the pages and the API read these."""

import re

import msgspec

from dpl_router.control import Control, read_json
from dpl_router.errors import Unavailable, UpstreamSilent

SECONDS = 4.0
WATCHDOG = "watchdog"
MOST_ALERTS = 500
"""More cannot be read by anybody, and each costs every open page."""


class Alert(msgspec.Struct, frozen=True):
    alertname: str
    severity: str
    summary: str
    description: str
    node: str | None
    since: str
    """RFC 3339, Alertmanager's clock."""
    silenced: bool
    runbook_url: str = ""
    """What to do: a file of the tree, or an address; empty where the rule names none."""
    dashboard_url: str = ""
    """As a path of Grafana."""
    fingerprint: str = ""
    """Alertmanager's name for this set of labels."""


class _Status(msgspec.Struct):
    state: str = ""


class _Wire(msgspec.Struct):
    """/api/v2/alerts of Alertmanager 0.25 to 0.33."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: str = ""
    fingerprint: str = ""
    status: _Status = msgspec.field(default_factory=_Status)


_decode = msgspec.json.Decoder(list[_Wire]).decode
_ORDER = {"critical": 0, "warning": 1, "info": 2}


async def active_alerts(alertmanager: Control | None) -> list[Alert]:
    """The gravest first, at most `MOST_ALERTS`; the dead man's switch is left out.

    Raises: Unavailable, with what to do, where there is no Alertmanager or it does not answer.
    """
    if alertmanager is None:
        raise Unavailable("no Alertmanager is configured; start the router with --alertmanager-url")
    try:
        answer = await alertmanager.get("/api/v2/alerts", seconds=SECONDS, tries=2)
        if answer.status != 200:
            raise Unavailable(f"Alertmanager answered {answer.status}", retry_after=5)
    except UpstreamSilent as error:
        raise Unavailable(f"Alertmanager: {error.message}", retry_after=5) from error
    wire = read_json(_decode, answer.body, "Alertmanager")
    alerts = [_read(alert) for alert in wire if alert.labels.get("route") != WATCHDOG]
    alerts.sort(key=lambda alert: (_ORDER.get(alert.severity, 3), alert.since))
    return alerts[:MOST_ALERTS]


def _read(wire: _Wire) -> Alert:
    return Alert(
        alertname=wire.labels.get("alertname", ""),
        severity=wire.labels.get("severity", ""),
        summary=wire.annotations.get("summary", ""),
        description=wire.annotations.get("description", ""),
        node=wire.labels.get("node"),
        since=wire.startsAt,
        silenced=wire.status.state == "suppressed",
        runbook_url=wire.annotations.get("runbook_url", ""),
        dashboard_url=wire.annotations.get("dashboard_url", ""),
        fingerprint=wire.fingerprint,
    )


class Firing(msgspec.Struct, frozen=True):
    """An active alert that is neither silenced nor inhibited, as Alertmanager lists it."""

    labels: dict[str, str]
    fingerprint: str
    annotations: dict[str, str] = {}


_decode_firing = msgspec.json.Decoder(list[Firing]).decode


async def firing_at(alertmanager: Control, receiver: str) -> list[Firing]:
    """All that `receiver` is told of, where a call to it was cut short.

    Raises: Unavailable, UpstreamSilent.
    """
    wish = {
        "active": "true",
        "silenced": "false",
        "inhibited": "false",
        "receiver": re.escape(receiver),  # it is a pattern there, and matches the whole name
    }
    answer = await alertmanager.get("/api/v2/alerts", wish, seconds=SECONDS, tries=2)
    if answer.status != 200:
        raise Unavailable(f"Alertmanager answered {answer.status}", retry_after=5)
    return read_json(_decode_firing, answer.body, "Alertmanager")


class _Rules(msgspec.Struct):
    alerts: list[_Wire]


class _RulesAnswer(msgspec.Struct):
    data: _Rules


_decode_rules = msgspec.json.Decoder(_RulesAnswer).decode


async def pending_or_firing(prometheus: Control) -> list[tuple[str, str]]:
    """(alert's name, node) of all that Prometheus's rules hold active, pending ones as well.

    Raises: Unavailable, UpstreamSilent.
    """
    answer = await prometheus.get("/api/v1/alerts", seconds=SECONDS)
    if answer.status != 200:
        raise Unavailable(f"Prometheus answered {answer.status}")
    alerts = read_json(_decode_rules, answer.body, "Prometheus").data.alerts
    return [(one.labels.get("alertname", ""), one.labels.get("node", "")) for one in alerts]
