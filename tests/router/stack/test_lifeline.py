"""kill -9 of the supervisor leaves no orphan."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.router.stack.conftest import FAKE, free_port

PARENT = """
import subprocess, sys, time
from dpl_router.stack.lifeline import tied
child = subprocess.Popen(tied(sys.argv[1:]), start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def state(pid: int) -> str:
    """`Z` is dead and not yet collected: in a container nobody may collect orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def test_a_child_dies_with_a_killed_parent() -> None:
    command = [sys.executable, str(FAKE), "--port", str(free_port()), "--deaf"]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *command], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "listening\n"
        assert state(child) not in ("Z", "gone")

        parent.kill()
        parent.wait(10)

    end = time.monotonic() + 10
    while state(child) not in ("Z", "gone") and time.monotonic() < end:
        time.sleep(0.02)
    left = state(child)
    if left not in ("Z", "gone"):
        os.kill(child, signal.SIGKILL)
    assert left in ("Z", "gone")
