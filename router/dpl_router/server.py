"""One router process: our listener around the app, and an orderly end."""

import asyncio
import errno
import gc
import os
import signal
import socket
import sys

import structlog
import uvloop

from dpl_router.app import Router, create_app
from dpl_router.errors import ConfigError
from dpl_router.front.listener import Listener
from dpl_router.inventory.load import load
from dpl_router.logs import configure
from dpl_router.security.keys import load_keys
from dpl_router.settings import Address, Settings

LOOK_SECONDS = 0.05
LAST_WORDS = 0.5
"""Seconds for the error events of streams that are cut."""
BACKLOG = 1024
COLLECT_EVERY = (20_000, 20, 50)
"""The collector's thresholds: with Python's own it took 7 to 16 % of the CPU under load."""

log = structlog.get_logger()


def run(settings: Settings) -> int:
    """Serve until SIGTERM (drain, then end) or SIGINT (end now).

    Raises: ConfigError before anything was started.
    """
    configure()
    inventory = load(settings.nodes_file, os.environ, settings.api_key)
    keyring = load_keys(settings.keys_file) if settings.keys_file else None
    for note in inventory.notes:
        print(f"note: {note}", file=sys.stderr)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--data-dir {settings.data_dir} cannot be made: {error.strerror}; name another folder"
        ) from error
    door = bound(settings.listen)

    async def main() -> None:
        await _serve(create_app(settings, inventory, keyring), door, inventory.router.drain)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return 0


def bound(wanted: Address) -> socket.socket:
    """A socket at `wanted`, port 0 being any free one. Raises: ConfigError where it is taken."""
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((wanted.host, wanted.port))
    except OSError as error:
        door.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"fails: {error.strerror}"
        raise ConfigError(
            f"--listen {wanted}: the address {why}; choose another port or stop what has it"
        ) from error
    return door


async def _serve(router: Router, door: socket.socket, drain: float) -> None:
    listener = Listener(router.app)
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, hurry.set)
    await listener.start(door, BACKLOG)
    settle_memory()
    address = Address(*door.getsockname()[:2])
    print(f"dpl router listening on http://{address}", file=sys.stderr, flush=True)
    waits = [loop.create_task(event.wait()) for event in (stop, hurry)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    router.dispatcher.draining = True
    if not hurry.is_set():
        await _drained(router, hurry, drain)
    router.dispatcher.cut()
    await _until_quiet(router, LAST_WORDS)
    await listener.stop(LAST_WORDS)
    for wait in waits:
        wait.cancel()


def settle_memory() -> None:
    """What start-up made stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_EVERY)


async def _drained(router: Router, hurry: asyncio.Event, seconds: float) -> None:
    log.info("draining", open_requests=router.dispatcher.open_calls, at_most_seconds=seconds)
    quiet = asyncio.ensure_future(_until_quiet(router, seconds))
    hurried = asyncio.ensure_future(hurry.wait())
    await asyncio.wait({quiet, hurried}, return_when=asyncio.FIRST_COMPLETED)
    quiet.cancel()
    hurried.cancel()


async def _until_quiet(router: Router, seconds: float) -> None:
    """No request is open any more, or the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while router.dispatcher.open_calls and loop.time() < end:  # noqa: ASYNC110 - once in a life
        await asyncio.sleep(LOOK_SECONDS)
