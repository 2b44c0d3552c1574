"""Alerts that act, through the wire: who is cordoned, what that changes, and when it ends."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from dpl_router.remediation.service import MOST_ON_NODE
from dpl_router.security.keys import Role
from dpl_router.security.new_key import new_key
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import running_router, until
from tests.router.pages.stage import answering, exposition
from tests.router.remediation.calls import GPU, NO_PAGE, Floor, alert, call, fleet

WELL = exposition({"tiny": True}, gpu=GPU)
NO_GPU = exposition({"tiny": True})


async def only(floor: Floor, *cordoned: str) -> bool:
    return await floor.cordoned() == set(cordoned)


async def one_cordon(floor: Floor) -> bool:
    return len((await floor.node("a"))["cordons"]) == 1


async def test_an_alert_takes_its_node_out_and_evidence_brings_it_back(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        await until(floor.served_by)
        floor.pages["a"] = NO_GPU
        first = await floor.webhook(alert("a"))
        shown, others = await floor.node("a"), await floor.served_by()
        again = await floor.webhook(alert("a"))
        over = await floor.webhook(alert("a", status="resolved"))
        await asyncio.sleep(2.0)
        still = await floor.cordoned()
        floor.pages["a"] = WELL
        await until(lambda: only(floor), seconds=10)
        await floor.client.post("/api/nodes/b/cordon")
        back = await floor.served_by()

    assert (first, again, over) == ([("a", "cordoned")], [("a", "renewed")], [("a", "resolved")])
    assert shown["state"] == "cordoned"
    assert shown["reason"] == "cordoned by alert DplGpuMissing: a lost a GPU."
    assert [cordon["source"] for cordon in shown["cordons"]] == ["alert"]
    assert shown["cordons"][0]["until"] > shown["cordons"][0]["since"]
    assert others == {"b"}
    assert still == {"a"}
    assert back == {"a"}
    assert floor.audited() == [
        ("local", "cordon", "a"),
        ("local", "uncordon", "a"),
        ("router", "uncordon", "a"),
        ("local", "cordon", "b"),
    ]


async def test_a_mere_resolved_lifts_nothing_and_without_facts_the_end_does(
    tmp_path: Path,
) -> None:
    """The exporter of a node with a broken GPU died: its alerts end with its metrics."""
    async with fleet(tmp_path, "a", "b", alert_repeat=1.0) as floor:
        floor.pages["a"] = NO_PAGE
        await floor.webhook(alert("a"))
        await asyncio.sleep(1.0)
        await floor.webhook(alert("a", status="resolved"))
        await asyncio.sleep(1.0)
        before = await floor.cordoned()
        await until(lambda: only(floor), seconds=10)

    assert before == {"a"}


async def test_a_resolved_node_that_is_measured_and_unwell_stays_out_beyond_its_time(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a", "b", alert_repeat=0.5) as floor:
        floor.pages["a"] = NO_GPU
        await floor.webhook(alert("a"))
        await floor.webhook(alert("a", status="resolved"))
        await asyncio.sleep(4.0)
        node = await floor.node("a")

    assert node["cordoned"]
    assert node["cordons"][0]["resolved"]


async def test_a_cordon_ends_when_alertmanager_is_heard_no_more(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b", alert_repeat=0.5) as floor:
        await floor.webhook(alert("a"))
        await until(lambda: only(floor), seconds=10)
        lapsed = await floor.router.metric(
            'dpl_router_alert_actions_total{action="cordon",outcome="lapsed"}'
        )

    assert lapsed == 1


async def test_alerts_never_take_the_last_that_serves_nor_more_than_half(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b", "c") as floor:
        outcomes = await floor.webhook(alert("a"), alert("b"), alert("c"))
        served = await floor.served_by()
        refused = await floor.router.metric(
            'dpl_router_alert_actions_total{action="cordon",outcome="floor"}'
        )

    assert outcomes == [("a", "cordoned"), ("b", "floor"), ("c", "floor")]
    assert served <= {"b", "c"}
    assert refused == 2


async def test_a_node_is_cordoned_by_so_many_alerts_and_the_rest_is_told_so(
    tmp_path: Path,
) -> None:
    alerts = [alert("a", mark=f"{number:04x}") for number in range(MOST_ON_NODE + 3)]
    async with fleet(tmp_path, "a", "b") as floor:
        first, again = await floor.webhook(*alerts), await floor.webhook(*alerts)
        cordons = (await floor.node("a"))["cordons"]

    assert [said for _, said in first] == ["cordoned"] * MOST_ON_NODE + ["ignored"] * 3
    assert [said for _, said in again] == ["renewed"] * MOST_ON_NODE + ["ignored"] * 3
    assert len(cordons) == MOST_ON_NODE


async def test_refusals_are_written_once_for_their_node_however_many_alerts_repeat(
    tmp_path: Path,
) -> None:
    alerts = [alert("nobody", mark=f"{number:04x}") for number in range(1500)]
    async with fleet(tmp_path, "a") as floor:
        for _ in range(2):
            await floor.webhook(alert("a", mark="aa"), alert("a", mark="bb"), *alerts)

    assert floor.audited() == [("local", "cordon", "a"), ("local", "cordon", "nobody")]


async def test_a_doubtful_node_serves_again_when_it_is_the_last(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        await floor.webhook(alert("a"))
        before = await floor.served_by()
        await floor.client.post("/api/nodes/b/cordon")
        await until(lambda: only(floor, "b"), seconds=10)
        after = await floor.served_by()

    assert (before, after) == ({"b"}, {"a"})


async def test_an_operators_cordon_is_not_ended_by_an_alert_that_is_over(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        await floor.client.post("/api/nodes/a/cordon", json={"reason": "fan"})
        await floor.webhook(alert("a"))
        both = await floor.node("a")
        await floor.webhook(alert("a", status="resolved"))
        await until(lambda: one_cordon(floor), seconds=10)
        left = await floor.node("a")

    assert [cordon["by"] for cordon in both["cordons"]] == ["local", "DplGpuMissing"]
    assert left["reason"] == "cordoned by local: fan"


async def test_what_no_rule_asks_for_changes_nothing(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        outcomes = await floor.webhook(
            alert("a", action=""),
            alert("a", action="reboot"),
            alert("", name="DplFleetWide"),
            alert("stranger"),
            alert("a", status="resolved", mark="feed"),
        )
        cordoned = await floor.cordoned()

    assert [outcome for _, outcome in outcomes] == [
        "ignored",
        "ignored",
        "ignored",
        "unknown_node",
        "resolved",
    ]
    assert cordoned == set()


async def test_a_drain_is_told_when_nothing_runs_there(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        outcomes = await floor.webhook(alert("a", action="drain"))
        await until(lambda: ("router", "drain", "a") in floor.audited(), seconds=10)

    assert outcomes == [("a", "cordoned")]


async def test_repeats_fill_no_audit_log(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        for _ in range(5):
            await floor.webhook(alert("a"), alert("b"), alert("stranger"))

    assert len(floor.audited()) == 3


async def test_a_restart_keeps_operators_cordons_and_what_is_left_of_alerts(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a", "b", "c", "d", alert_repeat=60.0) as floor:
        await floor.client.post("/api/nodes/a/cordon", json={"reason": "fan"})
        await floor.webhook(alert("b"))
    async with fleet(tmp_path, "a", "b", "c", "d", alert_repeat=0.5) as floor:
        cordoned, served = await floor.cordoned(), await floor.served_by(12)
        await until(lambda: only(floor, "a"), seconds=15)
        node = await floor.node("a")

    assert cordoned == {"a", "b"}
    assert served <= {"c", "d"}
    assert node["reason"] == "cordoned by local: fan"


@pytest.mark.parametrize("body", [b"", b"{", b"null", b'{"version":"4"}', b"\xff" * 100])
async def test_garbage_is_a_clear_400_and_changes_nothing(tmp_path: Path, body: bytes) -> None:
    async with fleet(tmp_path, "a", "b") as floor:
        answer = await floor.client.post("/alertmanager/webhook", content=body)
        cordoned = await floor.cordoned()
        counted = await floor.router.metric('dpl_router_alert_webhooks_total{outcome="refused"}')

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert cordoned == set()
    assert counted == 1


async def test_one_wrong_alert_among_good_ones_refuses_all(tmp_path: Path) -> None:
    wrong = {**alert("b"), "fingerprint": "x/../y"}
    async with fleet(tmp_path, "a", "b") as floor:
        answer = await floor.client.post("/alertmanager/webhook", json=call(alert("a"), wrong))
        cordoned = await floor.cordoned()

    assert answer.status_code == 400
    assert answer.json()["param"] == "alerts[1].fingerprint"
    assert cordoned == set()


async def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as floor:
        answer = await floor.client.post("/alertmanager/webhook", content=b" " * (5 * 1024 * 1024))

    assert answer.status_code == 413


async def test_only_operators_may_call(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    user, operator = new_key(keys, "u", Role.USER), new_key(keys, "am", Role.OPERATOR)
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path, keys_file=keys) as router:
            statuses = []
            for key in (None, user, operator):
                async with router.client(key) as client:
                    for path in ("/alertmanager/webhook", "/api/nodes/a/cordon"):
                        answer = await client.post(path, json=call() if "web" in path else {})
                        statuses.append(answer.status_code)

    assert statuses == [401, 401, 403, 403, 200, 200]


async def test_of_a_call_that_was_cut_short_the_rest_is_read(tmp_path: Path) -> None:
    """As /api/v2/alerts lists them; the names of a receiver are no patterns."""
    asked: list[bytes] = []
    rest = [{**alert("b"), "status": {"state": "active"}}, {**alert("a"), "status": {}}]

    async with (
        answering(lambda: json.dumps(rest), asked) as alertmanager,
        fleet(tmp_path, "a", "b", "c", "d", alertmanager_url=alertmanager) as floor,
    ):
        outcomes = await floor.webhook(alert("a"), truncated=1)
        cordoned = await floor.cordoned()

    wished = next(line for line in asked if b"receiver" in line).split()[1].decode()
    assert outcomes == [("a", "cordoned"), ("b", "cordoned")]
    assert cordoned == {"a", "b"}
    assert httpx.URL(wished).params["receiver"] == r"router\-actions"
    assert httpx.URL(wished).params["silenced"] == "false"


async def test_where_the_rest_is_not_to_be_had_the_call_shall_come_again(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b", alertmanager_url="http://127.0.0.1:9") as floor:
        answer = await floor.client.post(
            "/alertmanager/webhook", json=call(alert("a"), truncated=5)
        )
        cordoned = await floor.cordoned()

    assert answer.status_code == 503
    assert cordoned == {"a"}
