"""The command: read the settings, serve until a signal, leave quietly.

Exit status: 0 after SIGTERM or Ctrl-C, and for --check and --version; 2 for anything that the
person who started it must change, told in one line on stderr.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from dpl_exporter import __version__
from dpl_exporter.addresses import Address
from dpl_exporter.app import Exporter, create_app
from dpl_exporter.collectors import COLLECTORS
from dpl_exporter.errors import ExporterError, StartError
from dpl_exporter.keys import read_keys
from dpl_exporter.logs import Logfmt
from dpl_exporter.server import LazyTls, Server
from dpl_exporter.settings import Settings, load

STOP_SECONDS = 0.5


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit status."""
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setFormatter(Logfmt())
    logging.basicConfig(level=logging.INFO, handlers=[stderr])
    try:
        settings, given = load(arguments, environ, COLLECTORS)
        if given.version:
            print(f"dpl-exporter {__version__}")
            return 0
        if given.check:
            check(settings)
            return 0
        serve(settings)
    except ExporterError as error:
        print(f"dpl-exporter: {error.message}", file=sys.stderr)
        return 2
    return 0


def check(settings: Settings) -> None:
    """Print every effective setting with its origin. Raises: SettingsError for a bad file."""
    if settings.keys_file is not None:
        read_keys(settings.keys_file)
    if settings.tls_cert is not None and settings.tls_key is not None:
        LazyTls(settings.tls_cert, settings.tls_key)
    for name, source in settings.sources.items():
        print(f"{name.replace('_', '-')} = {_shown(name, getattr(settings, name))}  # {source}")
    print(f"collectors = {' '.join(name for name in COLLECTORS if name in settings.collectors)}")


def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Raises: SettingsError, StartError."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    exporter = create_app(settings)
    server = Server(settings.listen, exporter.web)
    scheme = "http"
    if settings.tls_cert is not None and settings.tls_key is not None:
        server.ssl_adapter, scheme = LazyTls(settings.tls_cert, settings.tls_key), "https"
    exporter.start()
    start(server, settings.listen)
    print(f"dpl-exporter listening on {scheme}://{Address(*server.bind_addr)}", flush=True)
    stop.wait()
    shut(server, exporter)


def start(server: Server, wanted: Address) -> None:
    """Bind, then serve on threads that do not outlive the main one. Raises: StartError."""
    bound = threading.Event()
    failure: list[Exception] = []

    def work() -> None:
        try:
            server.prepare()
        except (OSError, UnicodeError) as error:
            failure.append(error)
        finally:
            bound.set()
        if not failure:
            server.serve()

    threading.Thread(target=work, name="serve", daemon=True).start()
    bound.wait()
    if failure:
        raise StartError(f"cannot listen on {wanted}: {_reason(failure[0])}")


def shut(server: Server, exporter: Exporter) -> None:
    """Stop taking requests; a worker that is busy does not hold up the end."""
    exporter.stopping.set()
    stopper = threading.Thread(target=server.stop, name="stop", daemon=True)
    stopper.start()
    stopper.join(STOP_SECONDS)


def main() -> None:
    """Entry point of the command."""
    status = run(sys.argv[1:], os.environ)
    sys.stdout.flush()
    sys.exit(status)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeError):  # "a..b": no look-up can ask for it
        return "this is not the name of a machine. Choose another --listen."
    text = str(error)
    if "in use" in text:
        return "another program has this port. Stop it, or choose another --listen."
    if "ermission denied" in text:
        return "not allowed. Choose a port above 1023 with --listen."
    return f"{text.rpartition('] ')[2].rstrip(')') or text}. Choose another --listen."


def _shown(name: str, value: object) -> str:
    if name == "network_ignore":
        return str(getattr(value, "pattern", value))
    if isinstance(value, tuple):
        return os.pathsep.join(map(str, value))
    if value is None:
        return "auto" if name in ("slots", "llm_kind") else ""
    return str(int(value)) if isinstance(value, bool) else str(value)
