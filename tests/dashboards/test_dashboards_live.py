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

SETTLE = 60.0
"""Seconds until all of them have data: rates need two scrapes, alerts their pending time."""
LOOK = 4.0
EMPTY: Mapping[str, str] = {
    "annotation New versions": "a version changes once in months; a test of its own shows one",
}
"""Where there may be nothing, and why."""
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
"""The same beside one real node."""
Wrong = dict[str, dict[str, str]]


def looked_at(live: Live, empty: Mapping[str, str]) -> Wrong:
    """Dashboard -> where there is no data -> why; until all have some, at most SETTLE."""
    end = time.monotonic() + SETTLE
    left = {name: boards.read(name) for name in boards.names()}
    found: Wrong = {}
    while left and time.monotonic() < end:
        time.sleep(LOOK)
        for name, board in list(left.items()):
            found[name] = without_data(live, board)
            if found[name].keys() <= empty.keys():
                del left[name]
    return found


def unexpected(wrong: Wrong, empty: Mapping[str, str]) -> dict[tuple[str, str], str]:
    return {
        (name, where): why
        for name, places in wrong.items()
        for where, why in places.items()
        if where not in empty
    }


def test_everything_on_the_dashboards_has_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("fleet")) as live:
        wrong = looked_at(live, EMPTY)

    assert unexpected(wrong, EMPTY) == {}
    assert EMPTY.keys() <= {where for places in wrong.values() for where in places}


async def test_a_real_exporter_and_router_fill_what_they_have(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with running_real(tmp_path_factory.mktemp("real")) as live:
        wrong = await asyncio.to_thread(looked_at, live, SMALLER)

    assert unexpected(wrong, SMALLER) == {}
