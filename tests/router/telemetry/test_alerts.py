"""What Alertmanager says is read whole or not believed at all."""

import json
from collections.abc import Awaitable, Callable

import pytest

from dpl_router.control import Control
from dpl_router.errors import Unavailable
from dpl_router.telemetry.alerts import (
    MOST_ALERTS,
    Alert,
    active_alerts,
    firing_at,
    pending_or_firing,
)
from tests.fakes.wire import Peer, served


async def alerts_of(body: bytes) -> list[Alert]:
    async def alertmanager(peer: Peer) -> None:
        await peer.request()
        await peer.answer(body)

    async with served(alertmanager) as url:
        control = Control(url)
        try:
            return await active_alerts(control)
        finally:
            await control.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'[{"labels":{"alertname":"\xff"}}]',
        b'[{"labels":{"a":"\xff"}}]',
        b"[" * 99_999,
    ],
    ids=["nothing", "html", "no-utf-8", "no-utf-8-label", "deep"],
)
async def test_what_is_no_list_of_alerts_is_unavailable(body: bytes) -> None:
    with pytest.raises(Unavailable, match="Alertmanager"):
        await alerts_of(body)


async def test_an_alert_names_its_runbook_and_its_dashboard() -> None:
    said = {"runbook_url": "prometheus/runbooks/A.md", "dashboard_url": "/d/a"}

    named, bare = await alerts_of(
        json.dumps([{"labels": {}, "annotations": said}, {"labels": {}}]).encode()
    )

    assert (named.runbook_url, named.dashboard_url) == ("prometheus/runbooks/A.md", "/d/a")
    assert (bare.runbook_url, bare.dashboard_url) == ("", "")


async def test_of_too_many_alerts_the_gravest_are_kept() -> None:
    wire = [{"labels": {"severity": "info", "alertname": f"i{n}"}} for n in range(MOST_ALERTS)]
    wire += [{"labels": {"severity": "critical", "alertname": "c"}}] * 3

    kept = await alerts_of(json.dumps(wire).encode())

    assert len(kept) == MOST_ALERTS
    assert [alert.alertname for alert in kept[:4]] == ["c", "c", "c", "i0"]


async def told(body: bytes, status: bytes, ask: Callable[[Control], Awaitable[object]]) -> object:
    async def peer_of(peer: Peer) -> None:
        await peer.request()
        length = str(len(body)).encode()
        await peer.say(
            b"HTTP/1.1 " + status + b"\r\nContent-Length: " + length + b"\r\n\r\n" + body
        )

    async with served(peer_of) as url:
        control = Control(url)
        try:
            return await ask(control)
        finally:
            await control.close()


ACTIVE = {
    "labels": {"alertname": "DplGpuMissing", "node": "a"},
    "annotations": {"summary": "s"},
    "state": "pending",
    "activeAt": "2026-01-02T03:04:05.678Z",
    "value": "1e+00",
}


async def test_what_prometheus_holds_pending_is_told_as_well() -> None:
    """As /api/v1/alerts of Prometheus 2.42 and 3.5 says it."""
    fleet_wide = {**ACTIVE, "labels": {"alertname": "DplRouterDown"}, "state": "firing"}
    body = json.dumps({"status": "success", "data": {"alerts": [ACTIVE, fleet_wide]}}).encode()

    found = await told(body, b"200 OK", pending_or_firing)

    assert found == [("DplGpuMissing", "a"), ("DplRouterDown", "")]


@pytest.mark.parametrize("ask", [pending_or_firing, lambda control: firing_at(control, "r")])
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", b"200 OK"), (b"{}", b"200 OK"), (b'{"data":{}}', b"200 OK"), (b"[]", b"503 Busy")],
)
async def test_an_answer_that_is_none_is_no_evidence(
    ask: Callable[[Control], Awaitable[object]], body: bytes, status: bytes
) -> None:
    with pytest.raises(Unavailable):
        await told(body, status, ask)
