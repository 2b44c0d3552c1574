"""One `dpl up` a data folder, and orders from another shell."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from dpl_router.stack.child import Child, Part
from dpl_router.stack.door import DoorClosed, call, open_door, sole_use
from dpl_router.stack.supervisor import Supervisor
from tests.router.stack.conftest import Heard, fake_part

ChildOf = Callable[[Part], Child]


@pytest.fixture
async def supervisor(child_of: ChildOf, heard: Heard) -> Supervisor:
    children = {"llm": child_of(fake_part("llm"))}
    supervisor = Supervisor(children, [["llm"]], [["llm"]], frozenset(), heard)
    await supervisor.start()
    return supervisor


async def order(data_dir: Path, **words: str) -> list[dict[str, str]]:
    with anyio.fail_after(30):
        answer = await anyio.to_thread.run_sync(call, data_dir, words)
    parts: list[dict[str, str]] = answer.get("parts", [])
    return parts


async def test_parts_are_stopped_and_started_from_outside(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    async with open_door(tmp_path, supervisor):
        await order(tmp_path, do="stop", part="llm")
        (stopped,) = await order(tmp_path, do="status")
        await order(tmp_path, do="start", part="llm")
        (started,) = await order(tmp_path, do="status")

    assert (stopped["state"], started["state"]) == ("stopped", "ready")


async def test_the_socket_is_for_its_owner_alone(tmp_path: Path, supervisor: Supervisor) -> None:
    async with open_door(tmp_path, supervisor):
        mode = (tmp_path / "up.sock").stat().st_mode & 0o777

    assert mode == 0o600
    assert not (tmp_path / "up.sock").exists()


async def test_the_folder_may_have_a_long_name(tmp_path: Path, supervisor: Supervisor) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()

    async with open_door(folder, supervisor):
        (part,) = await order(folder, do="status")

    assert part["name"] == "llm"


async def test_a_wrong_order_is_refused(tmp_path: Path, supervisor: Supervisor) -> None:
    async with open_door(tmp_path, supervisor):
        with pytest.raises(DoorClosed, match="no part 'lm'; it has llm"):
            await order(tmp_path, do="stop", part="lm")
        with pytest.raises(DoorClosed, match="no such order"):
            await order(tmp_path, do="dance")


async def test_a_socket_that_a_killed_one_left_is_no_hindrance(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    (tmp_path / "up.sock").touch()

    async with open_door(tmp_path, supervisor):
        assert await order(tmp_path, do="status")


def test_where_no_stack_runs_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(DoorClosed, match=r"no stack runs on .*start one with `dpl up`"):
        call(tmp_path, {"do": "status"})


HOLDER = """
import sys, time
from pathlib import Path
from dpl_router.stack.door import sole_use
with sole_use(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_stack_on_the_same_folder_is_told_of_the_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        with pytest.raises(DoorClosed, match=rf"already runs .*process {holder.pid}"):
            sole_use(tmp_path).__enter__()

        holder.kill()
        holder.wait(10)

    with sole_use(tmp_path):
        pass
