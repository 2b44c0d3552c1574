"""What Alertmanager cuts short, a real router reads from it. All else of alerts: test_live.py."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from dpl_router.stack.render import Addresses, find_originals, render_alertmanager
from tests.fakes.router import until
from tests.router.remediation.calls import Floor, fleet
from tests.system.alerting import alertmanager, free_address, write

pytestmark = pytest.mark.system

SECONDS = 40.0


def configuration(folder: Path, router: str) -> Path:
    """As `dpl up` renders it, but a call holds one alert."""
    addresses = Addresses(router, "127.0.0.1:9090", "127.0.0.1:9093")
    document = render_alertmanager(find_originals(), addresses, None, "UTC")
    for receiver in document["receivers"]:
        for hook in receiver.get("webhook_configs", ()):
            hook["max_alerts"] = 1
    return write(folder / "alertmanager.yml", document)


def lost(gpu: str) -> dict[str, Any]:
    """As Prometheus tells it, which names the end ahead."""
    named = {"alertname": "DplGpuMissing", "node": "a", "scope": "gpu", "action": "cordon"}
    return {
        "labels": {**named, "severity": "critical", "gpu": gpu},
        "annotations": {"summary": "a lost a GPU."},
        "endsAt": (datetime.now(UTC) + timedelta(seconds=120)).isoformat(),
    }


def send(manager: str, alerts: list[dict[str, Any]]) -> None:
    httpx.post(f"{manager}/api/v2/alerts", json=alerts, timeout=10).raise_for_status()


async def test_what_a_call_leaves_out_is_read_from_alertmanager(tmp_path: Path) -> None:
    address = free_address()
    url = f"http://{address}"
    async with fleet(tmp_path, "a", "b", alert_repeat=20.0, alertmanager_url=url) as floor:
        file = configuration(tmp_path, floor.router.url.removeprefix("http://"))
        with alertmanager(tmp_path, file, address):
            send(url, [lost(gpu) for gpu in "012"])
            await until(lambda: three(floor), seconds=SECONDS)


async def three(floor: Floor) -> bool:
    return len((await floor.node("a"))["cordons"]) == 3
