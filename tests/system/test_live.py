"""Alerts that act, from the fault to its end, with everything real but the machines themselves.

Three faults play at the same time, each on nodes of its own; when they are over, Alertmanager is
stopped. Somebody chats all the while.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack

import pytest

from tests.fakes.nvml.gpus import RTX_4090
from tests.system.alerting import states
from tests.system.live import Live, Machine, live
from tests.system.running import eventually

pytestmark = pytest.mark.system

SOON = 120.0
ROTATION = 60.0
"""Seconds after which a wedged node must be left alone."""
ENDLESS = 600.0
IDLE: Mapping[str, object] = {**RTX_4090, "rates": "0 0", "samples": "1000000:0"}
BUSY: Mapping[str, object] = {**RTX_4090, "rates": "98 40", "samples": "1000000:98"}

Play = Callable[[Live], None]
Acts = Mapping[str, Future[None]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    homes = folder / "nodes"
    homes.mkdir()
    nodes = {
        "card": Machine(homes / "card", "tiny", gpu=IDLE),
        "mortal": Machine(homes / "mortal", "tiny"),
        "steady": Machine(homes / "steady", "tiny", exporter=False),
        "wedged": Machine(homes / "wedged", "deep", gpu=IDLE),
        "reading": Machine(homes / "reading", "deep", gpu=BUSY),
        "writing": Machine(homes / "writing", "deep", gpu=IDLE, tokens=round(ENDLESS)),
    }
    with live(folder, nodes) as running:
        yield running


@pytest.fixture(scope="module")
def acts(world: Live) -> Iterator[Acts]:
    """All three at the same time."""
    plays: tuple[Play, ...] = (lose_a_gpu, kill_a_node, wedge_a_node)
    with ThreadPoolExecutor(len(plays)) as pool:
        yield {play.__name__: pool.submit(play, world) for play in plays}


def test_a_gpu_that_vanishes_takes_its_node_out_until_it_is_back_and_healthy(acts: Acts) -> None:
    acts["lose_a_gpu"].result(SOON * 2)


def test_a_node_that_dies_is_told_once_and_no_chat_fails(acts: Acts) -> None:
    acts["kill_a_node"].result(SOON * 2)


def test_a_wedged_node_is_left_alone_within_a_minute_and_a_long_prefill_is_not(acts: Acts) -> None:
    acts["wedge_a_node"].result(SOON * 2)


def test_without_alertmanager_cordons_end_with_their_cause_and_the_router_raises_the_alarm(
    world: Live, acts: Acts
) -> None:
    wait(acts.values(), SOON * 2)
    gpus = world.nodes["card"].gpus
    assert gpus is not None
    began = time.monotonic()
    gpus.say({"0.lost": 1})
    eventually(lambda: world.shown_as("card") == "cordoned", SOON)
    first = ends(world, "card")
    eventually(lambda: ends(world, "card") > first, SOON)  # each repeat renews it

    world.stop_alertmanager()

    last = ends(world, "card")
    page = eventually(lambda: has(world.page(), "The alarm chain is silent."), SOON)
    world.mail.wait(lambda letter: letter.subject == "[FIRING] The alarm chain is silent", SOON)
    called = eventually(lambda: world.hook.calls_to("/silent"), SOON)
    eventually(lambda: ends(world, "card") > last, SOON)  # nobody repeats it, but it is as broken
    gpus.say({"0.lost": None})
    eventually(lambda: not world.cordons("card"), SOON)
    assert "Alertmanager does not answer." in page
    assert called[0].body["status"] == "firing"
    assert (
        "router",
        "uncordon",
        "alert DplGpuMissing lapsed: its alert was not repeated and the node is well",
    ) in world.audited("card")

    gpus.say({"0.lost": 1})
    world.start_alertmanager()

    eventually(lambda: world.shown_as("card") == "cordoned", SOON)
    eventually(lambda: not has(world.page(), "The alarm chain is silent."), SOON)
    world.mail.wait(lambda letter: "The alarm chain is heard again" in letter.subject, SOON)
    assert troubles(world, began) == []


def ends(world: Live, node: str) -> str:
    """When its cordon does: RFC 3339, which sorts."""
    return str(world.cordons(node)[0]["until"])


def lose_a_gpu(world: Live) -> None:
    gpus = world.nodes["card"].gpus
    assert gpus is not None
    began = time.monotonic()
    before = world.metric('dpl_router_alert_webhooks_total{outcome="ok"}')

    gpus.say({"0.lost": 1})

    letter = world.mail.wait(lambda letter: letter.subject == "[FIRING] card lost a GPU.", SOON)
    eventually(lambda: world.shown_as("card") == "cordoned", SOON)
    for said in (letter.html, letter.text):
        assert "card lost a GPU." in said
        assert "0 when the last one went." in said
        assert "prometheus/runbooks/DplGpuMissing.md" in said
        assert "no value" not in said
    assert letter.to == ("ops@example.org",)
    assert "critical, since 20" in letter.html
    assert "the router was told to cordon the node" in letter.html
    assert "/d/dpl-node?var-node=card" in letter.html
    assert f'href="http://{world.alertmanager}/#/silences/new?filter=%7Balertname%3D%22' in (
        letter.html
    )
    assert world.metric('dpl_router_alert_webhooks_total{outcome="ok"}') > before
    assert has(world.page(), "card lost a GPU.")
    assert "card" not in world.served_by("tiny")

    gpus.say({"0.lost": None})

    world.mail.wait(lambda letter: letter.subject == "[RESOLVED] card lost a GPU.", SOON)
    eventually(lambda: not world.cordons("card"), SOON)
    eventually(lambda: "card" in world.served_by("tiny"), SOON)
    assert world.audited("card") == [
        ("local", "cordon", "cordoned: by alert DplGpuMissing"),
        ("local", "uncordon", "the node must be well first"),
        (
            "router",
            "uncordon",
            "alert DplGpuMissing lifted: its alert is over and the node is well",
        ),
    ]
    assert troubles(world, began) == []


def kill_a_node(world: Live) -> None:
    mortal, began = world.nodes["mortal"], time.monotonic()
    down = "mortal is down: none of its scrape targets answers."

    mortal.kill()

    world.mail.wait(lambda letter: letter.subject == f"[FIRING] {down}", SOON)
    hidden = eventually(lambda: states_of(world, "mortal").get("DplTargetDown"), SOON)
    eventually(lambda: has(world.page(), down), SOON)
    eventually(lambda: world.shown_as("mortal") == "offline", SOON)
    assert hidden == "suppressed"
    assert states_of(world, "mortal")["DplNodeDown"] == "active"
    dead = len(world.chats.since(began))

    mortal.start()

    world.mail.wait(lambda letter: letter.subject == f"[RESOLVED] {down}", SOON)
    eventually(lambda: not has(world.page(), down), SOON)
    eventually(lambda: world.shown_as("mortal") == "ready", SOON)
    eventually(lambda: "mortal" in world.served_by("tiny"), SOON)
    assert [letter for letter in world.mail.letters if "DplTargetDown" in letter.html] == []
    assert world.audited("mortal") == []  # who serves is not taken out for its exporter's silence
    assert 0 < dead < len(world.chats.since(began))
    assert troubles(world, began) == []


def wedge_a_node(world: Live) -> None:
    wedged, reading, writing = (world.nodes[name] for name in ("wedged", "reading", "writing"))
    wedged.go_wrong(hang="before_head")
    reading.go_wrong(head_delay=ENDLESS)
    writing.go_wrong(token_delay=1.0)
    began = time.monotonic()
    with ExitStack() as asked:
        asked.callback(wedged.heal)
        while not all(node.open for node in (wedged, reading, writing)):
            asked.enter_context(ask(world, f"question {len(world.nodes)}"))
            time.sleep(0.5)
            assert time.monotonic() - began < SOON
        reading.heal()
        writing.heal()  # what was begun goes on as it began

        eventually(lambda: world.shown_as("wedged") == "cordoned", SOON)
        seconds = time.monotonic() - began
        letter = world.mail.wait(lambda letter: "wedged has requests" in letter.subject, SOON)
        others = world.served_by("deep")
        still = min(reading.open, writing.open)

    suspected = world.query(
        'count by (node) (count_over_time(ALERTS{alertname="DplNodeWedged"}[10m]))'
    )
    assert letter.subject == "[FIRING] wedged has requests for deep and does nothing."
    assert seconds < ROTATION
    assert others <= {"reading", "writing"}
    assert still
    assert suspected == [{"node": "wedged"}]


def ask(world: Live, question: str) -> socket.socket:
    """A streamed chat whose answer nobody reads; closing it is hanging up."""
    body = json.dumps(
        {"model": "deep", "messages": [{"role": "user", "content": question}], "stream": True}
    )
    host, _, port = world.router.removeprefix("http://").rpartition(":")
    client = socket.create_connection((host, int(port)), timeout=10)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\n"
    client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return client


def has(page: str, words: str) -> str:
    """The page, where it shows them; else nothing."""
    return page if words in page else ""


def states_of(world: Live, node: str) -> dict[str, str]:
    """Alert -> active or suppressed."""
    return {name: state for (name, _), state in states(world.alertmanager, node=node).items()}


def troubles(world: Live, began: float) -> list[str]:
    return [chat.trouble for chat in world.chats.since(began) if chat.trouble]
