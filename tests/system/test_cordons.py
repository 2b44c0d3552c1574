"""A real Alertmanager on our file makes a real router cordon a node, and its end ends that."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.router import until
from tests.router.pages.stage import exposition
from tests.router.remediation.calls import Floor, fleet
from tests.system.alerting import free_address, read, running, write

pytestmark = pytest.mark.system

SECONDS = 40.0


def configuration(folder: Path, router: str, most: int) -> Path:
    """alertmanager.yml as `dpl up` renders it for a router without keys; alerts repeat sooner, and
    a call holds `most` of them."""
    document = read("alertmanager/alertmanager.yml")
    document["templates"] = []
    (route,) = [one for one in document["route"]["routes"] if one["receiver"] == "router-actions"]
    route |= {"group_interval": "1s", "repeat_interval": "2s"}
    for receiver in document["receivers"]:
        for hook in receiver.get("webhook_configs", ()):
            hook["url"] = f"http://{router}/{hook['url'].split('/', 3)[3]}"
            hook.pop("http_config", None)
            if receiver["name"] == "router-actions":
                hook["max_alerts"] = most
    return write(folder / "alertmanager.yml", document)


@contextmanager
def acting(folder: Path, floor: Floor, address: str, most: int = 100) -> Iterator[None]:
    """Alertmanager at `address`."""
    home = folder / "home"
    home.mkdir()
    file = configuration(home, floor.router.url.removeprefix("http://"), most)
    flags = [f"--config.file={file}", f"--storage.path={home / 'data'}"]
    listens = [f"--web.listen-address={address}", "--cluster.listen-address="]
    with running("alertmanager", *flags, *listens, ready=f"http://{address}/-/ready"):
        yield


def raise_alert(address: str, *, over: bool = False, **labels: str) -> None:
    """As Prometheus does, which names the end ahead."""
    named = {"alertname": "DplGpuMissing", "node": "a", "scope": "gpu", "action": "cordon"}
    end = datetime.now(UTC) + timedelta(seconds=0 if over else 120)
    alert: dict[str, Any] = {
        "labels": {**named, "severity": "critical", **labels},
        "annotations": {"summary": "a lost a GPU."},
        "endsAt": end.isoformat(),
    }
    httpx.post(f"http://{address}/api/v2/alerts", json=[alert], timeout=10).raise_for_status()


async def out(floor: Floor, *nodes: str) -> bool:
    return await floor.cordoned() == set(nodes)


async def test_an_alert_cordons_its_repeats_renew_and_evidence_lifts(tmp_path: Path) -> None:
    address = free_address()
    async with fleet(tmp_path, "a", "b", alert_repeat=2.0) as floor:
        with acting(tmp_path, floor, address):
            floor.pages["a"] = exposition({"tiny": True})
            raise_alert(address)
            await until(lambda: out(floor, "a"), seconds=SECONDS)
            first = (await floor.node("a"))["cordons"][0]["until"]
            await until(lambda: renewed(floor, first), seconds=SECONDS)
            served = await floor.served_by()
            raise_alert(address, over=True)
            await until(lambda: resolved(floor), seconds=SECONDS)
            floor.pages["a"] = exposition({"tiny": True}, gpu=(0.1, 1.0, 24.0))
            await until(lambda: out(floor), seconds=SECONDS)

    assert served == {"b"}
    assert [line for line in floor.audited() if line[1] != "drain"] == [
        ("local", "cordon", "a"),
        ("local", "uncordon", "a"),
        ("router", "uncordon", "a"),
    ]


async def renewed(floor: Floor, first: str) -> bool:
    return bool((await floor.node("a"))["cordons"][0]["until"] > first)


async def resolved(floor: Floor) -> bool:
    return bool((await floor.node("a"))["cordons"][0]["resolved"])


async def test_the_cordon_ends_when_alertmanager_dies(tmp_path: Path) -> None:
    address = free_address()
    async with fleet(tmp_path, "a", "b", alert_repeat=2.0) as floor:
        with acting(tmp_path, floor, address):
            raise_alert(address)
            await until(lambda: out(floor, "a"), seconds=SECONDS)
        await until(lambda: out(floor), seconds=SECONDS)


async def test_what_a_call_leaves_out_is_read_from_alertmanager(tmp_path: Path) -> None:
    address = free_address()
    url = f"http://{address}"
    async with fleet(tmp_path, "a", "b", alert_repeat=20.0, alertmanager_url=url) as floor:
        with acting(tmp_path, floor, address, most=1):
            for gpu in ("0", "1", "2"):
                raise_alert(address, gpu=gpu)
            await until(lambda: three(floor), seconds=SECONDS)


async def three(floor: Floor) -> bool:
    return len((await floor.node("a"))["cordons"]) == 3
