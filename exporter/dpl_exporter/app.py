"""Wires one exporter: the only place where parts meet."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from wsgiref.types import WSGIEnvironment

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder

from dpl_exporter.addresses import is_loopback
from dpl_exporter.collectors import BACKENDS, Parts, made
from dpl_exporter.collectors.base import merged
from dpl_exporter.collectors.llm import LlmCollector
from dpl_exporter.collectors.llm_process import LlmProcesses
from dpl_exporter.collectors.machine import node_time
from dpl_exporter.desk import LeaseDesk
from dpl_exporter.errors import Unavailable
from dpl_exporter.guard import Guard
from dpl_exporter.journal import Journal
from dpl_exporter.keys import Keys, Role
from dpl_exporter.passthrough import engine_metrics
from dpl_exporter.settings import Settings
from dpl_exporter.slots import Slots
from dpl_exporter.status import Readings, Series, status_document
from dpl_exporter.throughput import Throughput
from dpl_exporter.web import Reply, Route, Web, json_reply, read_body


class Exporter:
    """The running parts. `start()` looks once at everything; then `web` may be served."""

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        desk: LeaseDesk,
        llm: LlmCollector,
        keys: Keys | None,
    ) -> None:
        self.stopping = threading.Event()
        self._settings = settings
        self._guard = guard
        self._desk = desk
        self._llm = llm
        self._throughput = Throughput[Series]()
        self.web = Web(self._routes(), keys=keys, loopback_only=is_loopback(settings.listen.host))

    def start(self) -> None:
        """Find out what is here: collectors without anything to collect drop out."""
        self._guard.start()
        self._page()

    def _routes(self) -> dict[str, Route]:
        reads = Role.VIEWER if self._settings.protect_reads else None
        return {
            "/metrics": Route("GET", self._metrics, reads),
            "/metrics/": Route("GET", self._engine, reads),
            "/status": Route("GET", self._status, reads),
            "/lock": Route("POST", self._lock, Role.OPERATOR),
            "/unlock": Route("POST", self._unlock, Role.OPERATOR),
            "/-/healthy": Route("GET", self._healthy, None),
            "/-/ready": Route("GET", self._ready, None),
        }

    def _page(self) -> tuple[list[Metric], Readings]:
        families = merged(self._guard.page())
        readings = Readings(families)
        self._throughput.add(time.monotonic(), readings.totals())
        return families, readings

    def _metrics(self, environ: WSGIEnvironment) -> Reply:
        families, _ = self._page()
        try:
            encode, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
        except (TypeError, ValueError):  # a version that is none
            encode, content_type = choose_encoder("")
        return Reply(content_type, encode(_Page([*families, node_time()])))

    def _engine(self, environ: WSGIEnvironment) -> Reply:
        kind = environ["PATH_INFO"].removeprefix("/metrics/")
        answer = engine_metrics(self._llm, BACKENDS, kind)
        return Reply(answer.content_type, answer.body)

    def _status(self, _environ: WSGIEnvironment) -> Reply:
        _, readings = self._page()
        rates = self._throughput.rates(time.monotonic(), readings.totals())
        lock = self._desk.status()
        return json_reply(status_document(readings, rates, lock, self._settings.model))

    def _lock(self, environ: WSGIEnvironment) -> Reply:
        return json_reply(self._desk.lock(read_body(environ)))

    def _unlock(self, environ: WSGIEnvironment) -> Reply:
        return json_reply(self._desk.unlock(read_body(environ)))

    def _healthy(self, _environ: WSGIEnvironment) -> Reply:
        return Reply("text/plain; charset=utf-8", b"healthy\n")

    def _ready(self, _environ: WSGIEnvironment) -> Reply:
        if self.stopping.is_set():
            raise Unavailable("shutting down")
        return Reply("text/plain; charset=utf-8", b"ready\n")


@dataclass(frozen=True, slots=True)
class _Page:
    """What prometheus_client takes for a registry."""

    families: list[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def create_app(settings: Settings) -> Exporter:
    """Raises: SettingsError where the keys file is bad."""
    keys = None
    if settings.keys_file is not None:
        keys = Keys(settings.keys_file, time.time, time.monotonic)
    slots = Slots(settings.slots)
    journal = Journal(settings.data_dir, time.time)
    desk = LeaseDesk(slots, journal.next_token, time.monotonic)
    llm = LlmCollector(
        settings.llm_url,
        lambda kind: BACKENDS[kind](settings),
        kind=settings.llm_kind,
        slots=slots,
        processes=LlmProcesses(settings.llm_url, time.monotonic),
        monotonic=time.monotonic,
    )
    parts = Parts(settings=settings, desk=desk, journal=journal, llm=llm)
    guard = Guard(made(parts), monotonic=time.monotonic, wall=time.time)
    return Exporter(settings, guard, desk, llm, keys)
