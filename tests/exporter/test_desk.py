"""The lease desk serves one caller at a time, however slow the disk is."""

import json
import threading
import time
from itertools import count

from dpl_exporter.desk import LeaseDesk
from dpl_exporter.errors import Conflict
from dpl_exporter.slots import Slots

CALLERS = 16


def test_of_callers_at_the_same_moment_one_gets_the_node() -> None:
    tokens = count(1)

    def slow_token() -> int:
        time.sleep(0.01)
        return next(tokens)

    desk = LeaseDesk(Slots(4), slow_token, time.monotonic)
    start = threading.Barrier(CALLERS)
    granted: list[object] = []

    def call(number: int) -> None:
        ask = {"owner": f"caller-{number}", "ttl_seconds": 60, "exclusive": True}
        start.wait(10)
        try:
            granted.append(desk.lock(json.dumps(ask).encode())["owner"])
        except Conflict:
            return

    threads = [threading.Thread(target=call, args=(i,), daemon=True) for i in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(granted) == 1
    assert desk.status()["owner"] == granted[0]
    assert desk.facts().counts.conflicts == CALLERS - 1


def test_the_capacity_follows_what_the_server_says() -> None:
    slots = Slots(None)
    desk = LeaseDesk(slots, count(1).__next__, time.monotonic)
    unknown = desk.status()["slots"]
    slots.learn(2)
    known = desk.status()["slots"]
    slots.learn(None)
    slots.learn(0)
    slots.learn(10**9)

    assert (unknown, known, desk.status()["slots"]) == (4, 2, 2)


def test_fixed_slots_are_never_overruled() -> None:
    slots = Slots(3)
    slots.learn(8)

    assert slots.value() == 3
