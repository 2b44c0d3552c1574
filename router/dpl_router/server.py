"""One router process: granian's embedded server around the app, and an orderly end.

The embedded server is one process that dies with its parent. It is marked experimental: pinned,
and its behaviour at SIGTERM and kill -9 is tested.
"""

import asyncio
import errno
import os
import signal
import socket
import sys

import structlog
import uvloop
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from dpl_router.app import Router, create_app
from dpl_router.errors import ConfigError
from dpl_router.inventory.load import load
from dpl_router.logs import configure
from dpl_router.security.keys import load_keys
from dpl_router.settings import Address, Settings

HEADER_READ_MS = 10_000
LOOK_SECONDS = 0.05
LAST_WORDS = 0.5
"""Seconds for the error events of streams that are cut."""
BACKLOG = 1024

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
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    address = free_address(settings.listen)

    async def main() -> None:
        await _serve(create_app(settings, inventory, keyring), address, inventory.router.drain)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return 0


def free_address(wanted: Address) -> Address:
    """`wanted`, with port 0 replaced by a free one. Raises: ConfigError where it is taken."""
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((wanted.host, wanted.port))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"fails: {error.strerror}"
            raise ConfigError(
                f"--listen {wanted}: the address {why}; choose another port or stop what has it"
            ) from error
        return Address(wanted.host, probe.getsockname()[1])


async def _serve(router: Router, address: Address, drain: float) -> None:
    server = Server(
        router.app,
        address=address.host,
        port=address.port,
        interface=Interfaces.ASGI,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_MS),
        backlog=BACKLOG,
        websockets=False,
        log_enabled=False,
    )
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, hurry.set)
    serving = loop.create_task(server.serve())
    print(f"dpl router listening on http://{address}", file=sys.stderr, flush=True)
    waits = [loop.create_task(event.wait()) for event in (stop, hurry)]
    await asyncio.wait({serving, *waits}, return_when=asyncio.FIRST_COMPLETED)
    router.dispatcher.draining = True
    if not hurry.is_set() and not serving.done():
        await _drained(router, hurry, drain)
    router.dispatcher.cut()
    await _until_quiet(router, LAST_WORDS)
    server.stop()  # type: ignore[no-untyped-call]
    for wait in waits:
        wait.cancel()
    await serving


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
