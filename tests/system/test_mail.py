"""What reaches people: a real Alertmanager and a mail server that keeps every letter.

Letters about real faults: test_live.py.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.fakes.smtp import MailSink
from tests.system.alerting import (
    TOKEN,
    Called,
    Stage,
    alertmanager,
    stage,
    states,
    with_mail,
)
from tests.system.running import eventually

pytestmark = pytest.mark.system

SOON = 60.0


@pytest.fixture(scope="module")
def mail() -> Iterator[MailSink]:
    with MailSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def router() -> Iterator[Stage]:
    with stage() as server:
        yield server


@pytest.fixture(scope="module")
def manager(
    tmp_path_factory: pytest.TempPathFactory, mail: MailSink, router: Stage
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("alertmanager")
    configuration = with_mail(folder, mail.address, router.address)
    with alertmanager(folder, configuration) as address:
        yield address


def alert(name: str, summary: str = "Something is wrong.", **labels: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, **labels},
        "annotations": {
            "summary": summary,
            "description": "It is described here.",
            "runbook_url": f"prometheus/runbooks/{name}.md",
            "dashboard_url": "/d/dpl-node?var-node=a",
        },
    }


def send(manager: str, *alerts: dict[str, Any]) -> None:
    httpx.post(f"http://{manager}/api/v2/alerts", json=alerts, timeout=10).raise_for_status()


def orders_for(router: Stage, node: str) -> list[Called]:
    calls = router.calls_to("/alertmanager/webhook")
    return [call for call in calls if call.body["commonLabels"].get("node") == node]


def test_the_router_is_called_with_its_token(router: Stage, manager: str) -> None:
    send(
        manager,
        alert("DplGpuMissing", node="gpu-1", severity="critical", scope="gpu", action="cordon"),
        alert("DplWatchdog", severity="none", scope="meta", route="watchdog"),
    )
    told = eventually(lambda: orders_for(router, "gpu-1"), SOON)
    beats = eventually(lambda: router.calls_to("/alertmanager/heartbeat"), SOON)

    assert told[0].body["alerts"][0]["labels"]["action"] == "cordon"
    assert {call.authorization for call in (*told, *beats)} == {f"Bearer {TOKEN}"}


def test_two_nodes_with_one_trouble_are_one_letter(mail: MailSink, manager: str) -> None:
    labels = {"severity": "warning", "scope": "node"}
    send(
        manager,
        alert("DplClockSkew", "The clock of a is off.", node="a", **labels),
        alert("DplClockSkew", "The clock of b is off.", node="b", **labels),
    )

    letter = mail.wait(lambda letter: "DplClockSkew" in letter.subject, SOON)

    assert letter.subject == "[FIRING:2] DplClockSkew"
    assert "The clock of a is off." in letter.html
    assert "The clock of b is off." in letter.html


def test_the_end_is_told_too(mail: MailSink, manager: str) -> None:
    trouble = alert("DplNetworkErrors", "eth0 on a drops.", severity="warning", scope="node")
    send(manager, trouble)
    mail.wait(lambda letter: letter.subject == "[FIRING] eth0 on a drops.", SOON)

    send(manager, {**trouble, "endsAt": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()})

    letter = mail.wait(lambda letter: letter.subject == "[RESOLVED] eth0 on a drops.", SOON)
    assert "over; it lasted from 20" in letter.html
    assert "Silence this" not in letter.html
    assert "Ended 20" in letter.text


def test_what_a_node_says_stays_text(mail: MailSink, manager: str) -> None:
    """Names of models and files come from machines that may be hostile."""
    said = "<script>alert(1)</script>\r\nBcc: everybody@example.org é"
    send(manager, alert("DplLlmDown", said, severity="critical", scope="node", node="<i>x</i>"))

    letter = mail.wait(lambda letter: "script" in letter.subject, SOON)

    assert letter.to == ("ops@example.org",)
    assert "é" in letter.subject
    assert "<script>" not in letter.html
    assert "<i>" not in letter.html
    assert "&lt;script&gt;" in letter.html


def test_a_mail_server_that_is_full_gets_it_later(mail: MailSink, manager: str) -> None:
    mail.refuses = True
    try:
        send(manager, alert("DplLockIdle", "A lease hangs.", severity="warning", scope="node"))
        eventually(lambda: mail.refused, SOON)
    finally:
        mail.refuses = False

    mail.wait(lambda letter: "A lease hangs." in letter.subject, SOON)


def test_a_dead_node_hides_its_own_troubles_only(manager: str) -> None:
    """But not what acts: an alert that is hidden is not repeated, and its cordon would lapse."""
    send(
        manager,
        alert("DplNodeDown", node="dead", severity="critical", scope="node"),
        alert("DplTargetDown", node="dead", severity="warning", scope="node"),
        alert("DplGpuHot", node="dead", severity="warning", scope="gpu"),
        alert("DplGpuMissing", node="dead", severity="critical", scope="gpu", action="cordon"),
        alert("DplTargetDown", node="other", severity="warning", scope="node"),
    )

    assert states(manager, node="dead") | states(manager, node="other") == {
        ("DplNodeDown", "dead"): "active",
        ("DplTargetDown", "dead"): "suppressed",
        ("DplGpuHot", "dead"): "suppressed",
        ("DplGpuMissing", "dead"): "active",
        ("DplTargetDown", "other"): "active",
    }


def test_a_dead_router_hides_what_clients_feel(manager: str) -> None:
    send(
        manager,
        alert("DplRouterDown", severity="critical", scope="router"),
        alert("DplModelWithoutCapacity", model="m", severity="critical", scope="slo"),
        alert("DplRouterFallbackMode", severity="warning", scope="router"),
    )

    assert states(manager, scope="slo") == {("DplModelWithoutCapacity", ""): "suppressed"}
    assert states(manager, alertname="DplRouterFallbackMode").popitem()[1] == "active"
    ended = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    send(manager, {**alert("DplRouterDown", severity="critical", scope="router"), "endsAt": ended})


def test_what_is_critical_hides_the_same_as_a_warning(manager: str) -> None:
    send(
        manager,
        alert("DplTtftSloBurn", model="a", severity="critical", scope="burn"),
        alert("DplTtftSloBurn", model="a", severity="warning", scope="burn", long="1d"),
        alert("DplTtftSloBurn", model="b", severity="warning", scope="burn", long="1d"),
    )

    assert states(manager, model="a", severity="warning").popitem()[1] == "suppressed"
    assert states(manager, model="b", severity="warning").popitem()[1] == "active"
