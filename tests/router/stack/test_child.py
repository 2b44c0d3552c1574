"""One part: started, watched, restarted, stopped."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from dpl_router.control import Control
from dpl_router.errors import DplError
from dpl_router.stack.child import Child, Part, PartFailed
from tests.router.stack.conftest import Heard, fake_part

ChildOf = Callable[[Part], Child]


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not true():  # noqa: ASYNC110 - the event is another process's
            await anyio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_part_is_started_once_it_answers(child_of: ChildOf, heard: Heard) -> None:
    child = child_of(fake_part("llm"))

    await child.start()

    assert child.state == "ready"
    assert "llm: llm speaks" in heard.lines


async def test_a_part_that_fails_at_once_is_told_with_its_last_words(child_of: ChildOf) -> None:
    child = child_of(fake_part("router", "--fail"))

    with pytest.raises(PartFailed, match=r"ended at once: .*nodes\.yaml:3:5 is wrong") as failed:
        await child.start()

    assert "router.log" in failed.value.message
    assert child.pid is None


async def test_the_error_of_a_part_is_told_with_those_that_led_to_it(child_of: ChildOf) -> None:
    """The last line of Prometheus names neither the file nor the place in it."""
    child = child_of(fake_part("prometheus", "--fail", "--complain"))

    with pytest.raises(PartFailed) as failed:
        await child.start()

    assert failed.value.message.startswith(
        'prometheus ended at once: /x/bad.yml: 5:11: group "x"; error loading rules; error loading '
        'config from "/x/prometheus.yml": one or more errors occurred (its log:'
    )


async def test_a_part_that_failed_is_told_apart_from_one_that_was_stopped(
    child_of: ChildOf,
) -> None:
    child = child_of(fake_part("prometheus", "--fail"))
    with pytest.raises(PartFailed):
        await child.start()
    failed = child.state

    await child.stop(signal.SIGTERM, 1.0)

    assert failed == "failed"
    assert child.state == "stopped"


async def test_a_program_that_does_not_exist_is_told(child_of: ChildOf) -> None:
    part = replace(fake_part("llm"), command=("no-such-program-here",))

    with pytest.raises(PartFailed, match="no-such-program-here: No such file"):
        await child_of(part).start()


async def test_a_part_that_never_gets_ready_is_killed(child_of: ChildOf) -> None:
    child = child_of(replace(fake_part("llm", "--never-ready", "--deaf"), patience=1.0))

    with pytest.raises(PartFailed, match="not ready within 1 s"):
        await child.start()

    assert child.pid is None


async def test_a_killed_part_comes_back(child_of: ChildOf, heard: Heard) -> None:
    child = child_of(fake_part("prometheus"))
    await child.start()
    first = child.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    await until(lambda: child.state == "ready" and child.pid not in (None, first))

    assert child.restarts == 1
    assert any("ended by SIGKILL; starting it again" in line for line in heard.lines)


async def test_a_part_that_a_signal_without_a_name_ends_comes_back(
    child_of: ChildOf, heard: Heard
) -> None:
    child = child_of(fake_part("prometheus"))
    await child.start()
    assert child.pid is not None

    os.kill(child.pid, 40)  # a real-time signal
    await until(lambda: child.restarts == 1 and child.state == "ready")

    assert any("ended by signal 40; starting it again" in line for line in heard.lines)


async def test_a_part_that_cannot_be_started_again_now_is_waited_for(
    child_of: ChildOf, heard: Heard, environment: dict[str, str]
) -> None:
    """Processes and memory may be short for a while."""
    child = child_of(fake_part("prometheus"))
    await child.start()
    assert child.pid is not None

    environment["TOO_LONG"] = "x" * 4 * 2**20  # then the system refuses to start anything
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: any("cannot be started" in line for line in heard.lines))
    del environment["TOO_LONG"]
    await until(lambda: child.state == "ready")

    assert any("Argument list too long; starting it again in" in line for line in heard.lines)


async def test_a_part_that_cannot_be_started_at_all_is_told(
    child_of: ChildOf, environment: dict[str, str]
) -> None:
    environment["TOO_LONG"] = "x" * 4 * 2**20

    with pytest.raises(PartFailed, match="cannot be started: Argument list too long"):
        await child_of(fake_part("llm")).start()


async def test_a_part_that_ends_by_itself_is_told_with_its_code(
    child_of: ChildOf, heard: Heard
) -> None:
    part = fake_part("exporter")
    child = child_of(part)
    await child.start()
    control = Control(part.ready.removesuffix("/-/ready"), verify=False)
    with pytest.raises(DplError):
        await control.get("/die", seconds=5)
    await control.close()

    await until(lambda: child.restarts == 1 and child.state == "ready")

    assert any("ended with exit code 7" in line for line in heard.lines)


async def test_a_stopped_part_stays_away_and_can_come_back(child_of: ChildOf) -> None:
    child = child_of(fake_part("llm"))
    await child.start()
    pid = child.pid
    assert pid is not None

    await child.stop(signal.SIGTERM, 5.0)

    assert child.state == "stopped"
    assert not is_alive(pid)

    await child.start()

    assert child.state == "ready"


async def test_a_part_in_back_off_can_be_stopped(child_of: ChildOf) -> None:
    child = child_of(fake_part("llm"))
    await child.start()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: child.state == "waiting")

    await child.stop(signal.SIGTERM, 5.0)
    await anyio.sleep(0.8)

    assert child.state == "stopped"
    assert child.pid is None


async def test_a_deaf_part_is_killed_after_its_grace(child_of: ChildOf) -> None:
    child = child_of(fake_part("llm", "--deaf"))
    await child.start()
    pid = child.pid
    assert pid is not None

    await child.stop(signal.SIGTERM, 0.2)

    assert not is_alive(pid)


async def test_a_part_has_its_own_session(child_of: ChildOf) -> None:
    """Else a Ctrl-C on the terminal ends all parts at once, in no order."""
    child = child_of(fake_part("llm"))

    await child.start()

    assert child.pid is not None
    assert os.getsid(child.pid) == child.pid


async def test_hidden_lines_are_in_the_file(
    child_of: ChildOf, heard: Heard, tmp_path: Path
) -> None:
    child = child_of(replace(fake_part("prometheus"), shown=lambda line: "warn" in line))

    await child.start()

    assert heard.lines == []
    assert "prometheus speaks" in (tmp_path / "logs/prometheus.log").read_text()
