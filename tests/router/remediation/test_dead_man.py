"""The alarm chain tells of its own death by its silence."""

import time

import structlog.testing
from prometheus_client import CollectorRegistry

from dpl_router.metrics import RouterMetrics
from dpl_router.remediation.dead_man import SILENCE_SECONDS, START, DeadMan


def a_switch(*, awaited: bool) -> tuple[DeadMan, CollectorRegistry]:
    registry = CollectorRegistry()
    return DeadMan(RouterMetrics(registry).view, awaited=awaited), registry


def shown(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("dpl_router_watchdog_silent")


def test_silence_is_told_once_when_it_begins_and_once_when_it_ends() -> None:
    switch, registry = a_switch(awaited=True)
    switch.heard()
    now = time.monotonic()

    with structlog.testing.capture_logs() as told:
        for late in (1, SILENCE_SECONDS + 1, SILENCE_SECONDS + 2):
            switch.look(now + late)
        during = shown(registry)
        switch.heard()

    assert [line["event"] for line in told] == ["alarm chain silent", "alarm chain heard again"]
    assert told[0]["log_level"] == "error"
    assert (during, shown(registry)) == (1, 0)


def test_a_first_call_that_never_comes_is_told_where_there_is_an_alertmanager() -> None:
    now = time.monotonic() + START * SILENCE_SECONDS + 1
    awaited, _ = a_switch(awaited=True)
    alone, registry = a_switch(awaited=False)
    alone.look(now)

    assert awaited.silent(now)
    assert not awaited.silent(time.monotonic())
    assert not alone.silent(now)
    assert shown(registry) == 0
