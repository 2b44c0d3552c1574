"""Children made of the fake part, and what they say."""

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dpl_router.stack.child import Child, Part
from dpl_router.stack.logs import LogFile

FAKE = Path(__file__).parents[2] / "fakes" / "part.py"


class Heard:
    """What people would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append(f"{name}: {line}")


@pytest.fixture
def heard() -> Heard:
    return Heard()


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
    return port


def fake_part(name: str, *flags: str, port: int | None = None, grace: float = 5.0) -> Part:
    port = port or free_port()
    command = (sys.executable, str(FAKE), "--port", str(port), "--say", f"{name} speaks", *flags)
    ready = f"http://127.0.0.1:{port}/-/ready"
    return Part(name, command, ready, patience=20.0, grace=grace)


@pytest.fixture
def environment() -> dict[str, str]:
    """Of the children."""
    return dict(os.environ)


@pytest.fixture
async def child_of(
    tmp_path: Path, heard: Heard, environment: dict[str, str]
) -> AsyncIterator[Callable[[Part], Child]]:
    """Makes children, and sees to it that none is left."""
    made: list[tuple[Child, LogFile]] = []

    def make(part: Part) -> Child:
        log = LogFile(tmp_path / "logs" / f"{part.name}.log")
        child = Child(part, log, heard, environment)
        made.append((child, log))
        return child

    yield make

    for child, log in made:
        await child.stop(signal.SIGKILL, 1.0)
        log.close()
