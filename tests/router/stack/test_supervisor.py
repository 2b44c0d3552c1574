"""All parts: the order in which they start and stop, and what one failure means."""

import os
import signal
from collections.abc import Callable, Sequence

import pytest

from dpl_router.stack.child import Child, Part, PartFailed
from dpl_router.stack.supervisor import PartUnknown, Supervisor
from tests.router.stack.conftest import Heard, fake_part, free_port

ChildOf = Callable[[Part], Child]
NAMES = ("llm", "exporter", "router", "prometheus")


def supervise(child_of: ChildOf, heard: Heard, parts: Sequence[Part]) -> Supervisor:
    names = [part.name for part in parts]
    return Supervisor(
        {part.name: child_of(part) for part in parts},
        stages=[[name] for name in names],
        stopping=[["router"], ["prometheus"], ["exporter"], ["llm"]],
        optional=frozenset({"prometheus"}),
        talk=heard,
    )


def first(heard: Heard, text: str) -> int:
    return next(at for at, line in enumerate(heard.lines) if text in line)


async def test_parts_start_and_stop_in_their_orders(child_of: ChildOf, heard: Heard) -> None:
    supervisor = supervise(child_of, heard, [fake_part(name) for name in NAMES])

    await supervisor.start()
    await supervisor.stop(signal.SIGTERM)

    begun = [first(heard, f"{name} speaks") for name in NAMES]
    ended = [
        first(heard, f"{name}: ending") for name in ("router", "prometheus", "exporter", "llm")
    ]
    assert begun == sorted(begun)
    assert ended == sorted(ended)
    assert ended[0] > begun[-1]


async def test_a_drain_gives_the_router_its_time(child_of: ChildOf, heard: Heard) -> None:
    parts = [fake_part(name, *(["--drain", "0.5"] if name == "router" else [])) for name in NAMES]
    supervisor = supervise(child_of, heard, parts)
    await supervisor.start()

    await supervisor.stop(signal.SIGTERM)

    assert "router: ending on SIGTERM" in heard.lines


async def test_a_quick_stop_kills_what_does_not_listen(child_of: ChildOf, heard: Heard) -> None:
    supervisor = supervise(child_of, heard, [fake_part(name, "--deaf") for name in NAMES])
    await supervisor.start()
    pids = [part["pid"] for part in supervisor.status()]

    await supervisor.stop(signal.SIGINT)

    assert all(part["state"] == "stopped" for part in supervisor.status())
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_quick_stop_is_an_interrupt_for_the_router(child_of: ChildOf, heard: Heard) -> None:
    supervisor = supervise(child_of, heard, [fake_part(name) for name in NAMES])
    await supervisor.start()

    await supervisor.stop(signal.SIGINT)

    assert "router: ending on SIGINT" in heard.lines
    assert "llm: ending on SIGTERM" in heard.lines


async def test_without_the_router_there_is_no_stack(child_of: ChildOf, heard: Heard) -> None:
    parts = [fake_part(name, *(["--fail"] if name == "router" else [])) for name in NAMES]
    supervisor = supervise(child_of, heard, parts)

    with pytest.raises(PartFailed, match="router ended at once"):
        await supervisor.start()

    assert not any("prometheus speaks" in line for line in heard.lines)


async def test_without_prometheus_the_others_go_on(child_of: ChildOf, heard: Heard) -> None:
    parts = [fake_part(name, *(["--fail"] if name == "prometheus" else [])) for name in NAMES]
    supervisor = supervise(child_of, heard, parts)

    await supervisor.start()

    states = {part["name"]: part["state"] for part in supervisor.status()}
    assert states == {
        "llm": "ready",
        "exporter": "ready",
        "router": "ready",
        "prometheus": "failed",
    }
    assert supervisor.failed() == {"prometheus"}
    assert any(
        "going on without it; once it is mended: dpl stack start prometheus" in line
        for line in heard.lines
    )


async def test_one_part_can_be_stopped_and_started(child_of: ChildOf, heard: Heard) -> None:
    port = free_port()
    supervisor = supervise(child_of, heard, [fake_part("llm", port=port)])
    await supervisor.start()

    await supervisor.stop_part("llm")

    assert supervisor.status()[0]["state"] == "stopped"

    await supervisor.start_part("llm")

    assert supervisor.status()[0]["state"] == "ready"


async def test_an_unknown_part_is_refused_with_the_known_ones(
    child_of: ChildOf, heard: Heard
) -> None:
    supervisor = supervise(child_of, heard, [fake_part("llm")])

    with pytest.raises(PartUnknown, match="no part 'lm'; it has llm"):
        await supervisor.stop_part("lm")
