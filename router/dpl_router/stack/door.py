"""The way into a running `dpl up`: a lock that keeps a second one out, a socket for `dpl stack`.

One JSON object a line: `{"do": "stop", "part": "prometheus"}` is answered by
`{"ok": true}`, `{"ok": true, "parts": […]}` or `{"ok": false, "error": "…"}`.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from dpl_router.errors import DplError
from dpl_router.stack.supervisor import Supervisor

SOCKET = "up.sock"
LOCK = "up.lock"
PATIENCE = 90.0
"""Seconds that a part may take to start or to drain."""


class DoorClosed(DplError):
    """No stack runs there, or one runs already."""

    code = "door_closed"


@contextlib.contextmanager
def sole_use(data_dir: Path) -> Iterator[None]:
    """One `dpl up` a data folder. The kernel lets go of the lock, also at kill -9.

    Raises: DoorClosed.
    """
    with (data_dir / LOCK).open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise DoorClosed(
                f"`dpl up` already runs on {data_dir} (process {file.read().strip() or '?'}); "
                "stop it with Ctrl-C there, or take another --data-dir"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextlib.asynccontextmanager
async def open_door(data_dir: Path, supervisor: Supervisor) -> AsyncIterator[None]:
    """Only with `sole_use`: a socket that lies there is a dead one's."""
    (data_dir / SOCKET).unlink(missing_ok=True)
    server = await asyncio.start_unix_server(
        lambda reader, writer: attend(reader, writer, supervisor), sock=bound(data_dir)
    )
    try:
        yield
    finally:
        server.close()
        (data_dir / SOCKET).unlink(missing_ok=True)


def bound(data_dir: Path) -> socket.socket:
    """Bound by its short name: the path of a socket may have about 100 characters only."""
    made = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        with contextlib.chdir(data_dir):
            made.bind(SOCKET)
    except OSError as error:  # as of any file: with its path
        made.close()
        raise OSError(error.errno, error.strerror, str(data_dir / SOCKET)) from error
    finally:
        os.umask(mask)
    return made


async def attend(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, supervisor: Supervisor
) -> None:
    with contextlib.suppress(OSError, ValueError):
        line = await asyncio.wait_for(reader.readline(), 5.0)
        answer = await obey(json.loads(line), supervisor)
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
    writer.close()


async def obey(order: Any, supervisor: Supervisor) -> dict[str, Any]:
    try:
        match order:
            case {"do": "status"}:
                return {"ok": True, "parts": supervisor.status()}
            case {"do": "stop", "part": str(name)}:
                await supervisor.stop_part(name)
            case {"do": "start", "part": str(name)}:
                await supervisor.start_part(name)
            case _:
                return {"ok": False, "error": "no such order"}
    except DplError as error:
        return {"ok": False, "error": error.message}
    return {"ok": True}


def call(data_dir: Path, order: dict[str, str]) -> dict[str, Any]:
    """What the running stack answers. Raises: DoorClosed where none runs, or it refuses."""
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(PATIENCE)
        try:
            with contextlib.chdir(data_dir):
                made.connect(SOCKET)
            made.sendall(json.dumps(order).encode() + b"\n")
            said = made.makefile("rb").readline()
        except OSError as error:
            raise DoorClosed(
                f"no stack runs on {data_dir} ({error.strerror or error}); start one with "
                "`dpl up`, or name its --data-dir"
            ) from error
    answer: dict[str, Any] = json.loads(said) if said else {"ok": False, "error": "it ended"}
    if not answer["ok"]:
        raise DoorClosed(answer["error"])
    return answer
