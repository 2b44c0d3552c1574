"""What Alertmanager says is read whole or not believed at all."""

import json

import pytest

from dpl_router.control import Control
from dpl_router.errors import Unavailable
from dpl_router.telemetry.alerts import MOST_ALERTS, Alert, active_alerts
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


async def test_of_too_many_alerts_the_gravest_are_kept() -> None:
    wire = [{"labels": {"severity": "info", "alertname": f"i{n}"}} for n in range(MOST_ALERTS)]
    wire += [{"labels": {"severity": "critical", "alertname": "c"}}] * 3

    kept = await alerts_of(json.dumps(wire).encode())

    assert len(kept) == MOST_ALERTS
    assert [alert.alertname for alert in kept[:4]] == ["c", "c", "c", "i0"]
