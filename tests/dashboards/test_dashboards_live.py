"""Every panel, annotation and variable of every dashboard finds data in a real Prometheus.

It scrapes first a simulated fleet that has everything, then a real exporter and a real router.
"""

import asyncio
import time
from collections.abc import Mapping

import pytest

from tests.dashboards import boards
from tests.dashboards.real import running_real
from tests.dashboards.stage import Live, running, without_data

SETTLE = 90.0
"""Seconds until all of them have data: rates need two scrapes, alerts their pending time."""
LOOK = 4.0
EMPTY: Mapping[str, str] = {
    "annotation New versions": "a version changes once in months; a test of its own shows one",
}
"""What even the simulated fleet cannot show, and why."""
ALERTS = "nothing is wrong, so nothing fires and nothing is cordoned"
NO_GPU = "this machine has none"
NO_VLLM = "the engine is an Ollama"
NO_ALERTMANAGER = "none is started here"
HOST = "containers may lack it"
SELDOM = "it did not happen"
SMALLER: Mapping[str, str] = {
    **EMPTY,
    **dict.fromkeys(("Firing", "Firing alerts", "What fired, and where"), ALERTS),
    **dict.fromkeys(("How long in all", "How long each time", "How often"), ALERTS),
    **dict.fromkeys(("annotation Firing alerts", "annotation Cordons"), ALERTS),
    **dict.fromkeys(("GPUs", "GPU busy", "GPU memory", "GPU temperature", "GPU power"), NO_GPU),
    **dict.fromkeys(("GPU clock", "GPU held down", "PCIe lanes", "Driver errors (Xid)"), NO_GPU),
    **dict.fromkeys(("Health of the card", "Joules per token", "variable gpu"), NO_GPU),
    **dict.fromkeys(("Joules per token by node", "Cost of a million tokens"), NO_GPU),
    **dict.fromkeys(("KV cache", "Running and waiting"), NO_VLLM),
    **dict.fromkeys(("Preemptions", "Prompt cache hits"), NO_VLLM),
    **dict.fromkeys(("Silenced or inhibited", "Notifications sent"), NO_ALERTMANAGER),
    **dict.fromkeys(("Notifications that failed", "Alerts on their way"), NO_ALERTMANAGER),
    **dict.fromkeys(("Alertmanager's settings", "Since the dead man's call"), NO_ALERTMANAGER),
    **dict.fromkeys(("Waiting for CPU, memory, disk", "Disk traffic", "Disk busy"), HOST),
    **dict.fromkeys(("Use of the link", "Packets with errors"), HOST),
    **dict.fromkeys(("Refused by the scheduler", "Nodes left out", "Retries"), SELDOM),
    "variable cluster": "a single Prometheus has no such label",
}
"""What one real machine may lack besides, and why."""
FLEET_CURE = (
    "a series of a machine moves in tests/fakes/fleet_values.py, the router's in fleet_router.py"
)
Wrong = dict[str, dict[str, str]]


def looked_at(live: Live, empty: Mapping[str, str]) -> Wrong:
    """Dashboard -> where there never was data -> why; until all had some, at most SETTLE."""
    end = time.monotonic() + SETTLE
    left = {name: boards.read(name) for name in boards.names()}
    found: Wrong = {}
    while left and time.monotonic() < end:
        time.sleep(LOOK)
        for name, board in list(left.items()):
            lacking = without_data(live, board)
            found[name] = {
                where: lacking[where] for where in found.get(name, lacking) if where in lacking
            }
            if found[name].keys() <= empty.keys():
                del left[name]
    return found


def unexpected(wrong: Wrong, empty: Mapping[str, str]) -> list[str]:
    return [
        f"{name}, {where}: {why}"
        for name, places in wrong.items()
        for where, why in places.items()
        if where not in empty
    ]


def test_everything_on_the_dashboards_has_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("fleet")) as live:
        wrong = looked_at(live, EMPTY)

    lacking = unexpected(wrong, EMPTY)
    assert not lacking, "\n".join([*lacking, f"{FLEET_CURE}; else, with its reason: EMPTY"])
    for where in EMPTY:
        assert any(where in places for places in wrong.values()), (
            f"{where} has data in the simulated fleet: take it out of EMPTY; if only a real "
            "machine lacks it: SMALLER"
        )


async def test_a_real_exporter_and_router_fill_what_they_have(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with running_real(tmp_path_factory.mktemp("real")) as live:
        wrong = await asyncio.to_thread(looked_at, live, SMALLER)

    lacking = unexpected(wrong, SMALLER)
    assert not lacking, "\n".join(
        [*lacking, "what a real machine may lack, with its reason: SMALLER"]
    )
