"""What this router is and how it runs, for a bug report: versions, modes, counts; no secrets."""

import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

import msgspec

from dpl_router import __version__
from dpl_router.dispatch.dispatcher import Dispatcher
from dpl_router.scheduling.core import SchedulerCore
from dpl_router.settings import Settings
from dpl_router.telemetry.view import FleetView

PARTS = ("litestar", "msgspec", "httptools", "httpx", "prometheus-client", "structlog")


class Versions(msgspec.Struct, frozen=True):
    dpl: str
    python: str
    system: str
    parts: dict[str, str]


class Modes(msgspec.Struct, frozen=True):
    scheduling: str
    """promql, direct or blind."""
    draining: bool
    keys: bool
    """A keys file says who may call."""
    prometheus: str | None
    """Where it is asked, without user or password; None = there is none."""
    alertmanager: str | None
    auto_pull: bool


class Counts(msgspec.Struct, frozen=True):
    nodes: int
    online: int
    models: int
    in_flight: int
    queued: int


class Info(msgspec.Struct, frozen=True):
    versions: Versions
    uptime: float
    """Seconds."""
    listen: str
    modes: Modes
    counts: Counts
    timeouts: dict[str, float]
    """Seconds, as nodes.yaml says them for all nodes."""


class About:
    def __init__(
        self,
        settings: Settings,
        view: FleetView,
        core: SchedulerCore,
        dispatcher: Dispatcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._view = view
        self._core = core
        self._dispatcher = dispatcher
        self._clock = clock
        self._since = clock()

    def info(self) -> Info:
        times = self._view.inventory.router.timeouts
        return Info(
            versions=Versions(
                __version__, platform.python_version(), platform.platform(), installed()
            ),
            uptime=round(self._clock() - self._since, 1),
            listen=str(self._settings.listen),
            modes=self._modes(),
            counts=self._counts(),
            timeouts={
                "connect": times.connect,
                "first_token": times.first_token,
                "idle": times.idle,
                "total": times.total,
            },
        )

    def _modes(self) -> Modes:
        settings = self._settings
        return Modes(
            scheduling=self._view.mode,
            draining=self._dispatcher.draining,
            keys=settings.keys_file is not None,
            prometheus=without_secrets(settings.prometheus_url),
            alertmanager=without_secrets(settings.alertmanager_url),
            auto_pull=self._view.inventory.router.auto_pull,
        )

    def _counts(self) -> Counts:
        nodes = self._view.inventory.nodes
        checks = [self._view.check(node.name) for node in nodes]
        return Counts(
            nodes=len(nodes),
            online=sum(check is not None and check.ok for check in checks),
            models=len(self._view.model_names()),
            in_flight=sum(self._core.busy(node.name) for node in nodes),
            queued=sum(depth for depth, _ in self._core.queues().values()),
        )


def installed() -> dict[str, str]:
    """Of what the router stands on; what is not there as a distribution is left out."""
    found = {}
    for name in PARTS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def without_secrets(url: str | None) -> str | None:
    """Scheme, host and port: a user, a password or a query may be a secret."""
    if url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
