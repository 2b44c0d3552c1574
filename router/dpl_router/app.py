"""create_app: the only place that wires."""

import time
from dataclasses import dataclass
from pathlib import Path

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from prometheus_client import CollectorRegistry

from dpl_router.control import Control
from dpl_router.diagnostics.chain import Chain
from dpl_router.diagnostics.checks import Doctor
from dpl_router.diagnostics.controller import DiagnosticsController, ProbesController
from dpl_router.diagnostics.debug import DebugController
from dpl_router.diagnostics.info import About
from dpl_router.diagnostics.metrics_page import MetricsPage
from dpl_router.diagnostics.promql import PromqlDoor
from dpl_router.diagnostics.schema import SchemaController
from dpl_router.dispatch.dispatcher import Dispatcher
from dpl_router.fittings import Fittings
from dpl_router.fleet.controller import Alertmanager, FleetController
from dpl_router.fleet.models import FleetModelsController
from dpl_router.fleet.nodes import NodesController
from dpl_router.fleet.operate import Leases, Operating
from dpl_router.fleet.service import Fleet
from dpl_router.front.direct import direct
from dpl_router.inventory.types import Inventory
from dpl_router.lateness import Lateness
from dpl_router.lifespan import Lifespan
from dpl_router.metrics import RouterMetrics
from dpl_router.models import Models
from dpl_router.nodes.cordon_file import CordonFile
from dpl_router.nodes.cordoning import Cordoning
from dpl_router.nodes.health import HealthChecks
from dpl_router.otel_names import OtelNames
from dpl_router.pages.alert_watch import AlertWatch
from dpl_router.pages.assets import Assets
from dpl_router.pages.board import Board
from dpl_router.pages.controller import PagesController
from dpl_router.pages.engine import make_engine
from dpl_router.pages.live import Live, events
from dpl_router.pages.login import Login, LoginController
from dpl_router.pages.scene import Scenery
from dpl_router.problems import HANDLERS, envelope
from dpl_router.remediation.controller import RemediationController
from dpl_router.remediation.dead_man import DeadMan
from dpl_router.remediation.herald import Herald
from dpl_router.remediation.review import Review
from dpl_router.remediation.service import Remediation
from dpl_router.remediation.sight import Sight
from dpl_router.remediation.ways import Letters, Way, Webhook
from dpl_router.scheduling.core import SchedulerCore, make_core
from dpl_router.scheduling.types import Config, NodeConfig
from dpl_router.security.audit import AuditLog
from dpl_router.security.guards import default_deny
from dpl_router.security.headers import FrontDoor, Hosts
from dpl_router.security.keys import KeyRing, Role
from dpl_router.security.limits import WrongKeys
from dpl_router.security.sessions import Sessions
from dpl_router.settings import Settings
from dpl_router.surfaces import ollama, ollama_pull, openai_calls, passthrough
from dpl_router.surfaces.ollama_models import OllamaModelsController
from dpl_router.surfaces.ollama_show import Shelf, show
from dpl_router.surfaces.openai import chat_completions
from dpl_router.surfaces.openai_models import ModelsController
from dpl_router.surfaces.relay import Streams
from dpl_router.surfaces.seed import seed_chat
from dpl_router.tallies import Page
from dpl_router.telemetry.poll import Poller
from dpl_router.telemetry.prometheus import PrometheusSource
from dpl_router.telemetry.view import FleetView
from dpl_router.upstreams.transport import Sweeper

HOT = (
    chat_completions,
    seed_chat,
    openai_calls.completions,
    openai_calls.embeddings,
    passthrough.responses,
    passthrough.messages,
    passthrough.count_tokens,
    passthrough.rerank,
    passthrough.transcriptions,
    ollama.chat,
    ollama.generate,
    ollama.embed,
    ollama.embeddings,
)
"""What is served past the framework (and by it, where a path is only nearly one of these)."""


STEADY_SCRAPES = 4
"""So long a node looks well before a cordon of an alert is lifted: longer than the rules' interval
and our slowest poll."""


@dataclass(frozen=True, slots=True)
class Router:
    """The application, and the parts that a server, or who measures one, needs by hand."""

    app: FrontDoor
    litestar: Litestar
    dispatcher: Dispatcher
    metrics: RouterMetrics


def create_app(settings: Settings, inventory: Inventory, keyring: KeyRing | None) -> Router:
    """Everything built and passed in; nothing runs before the app's lifespan starts.

    Must be called in a running loop: what is built here belongs to it.
    """
    registry = CollectorRegistry()
    otel_names = OtelNames(Page(registry)) if settings.otel_names else None
    metrics = RouterMetrics(registry, otel_names)
    core: SchedulerCore = make_core(
        Config(tuple(NodeConfig(node.name, node.slots) for node in inventory.nodes))
    )
    view = FleetView(inventory, metrics.view, scrape_interval=settings.scrape_interval)
    sweeper, streams = Sweeper(), Streams(settings.heartbeat)
    fittings = Fittings(settings, inventory, view, core, metrics, sweeper)
    dispatcher = Dispatcher(
        core, fittings.clients, fittings.slots, metrics, inventory.router.timeouts, view
    )
    fittings.dispatcher = dispatcher
    prometheus = Control(settings.prometheus_url) if settings.prometheus_url else None
    alertmanager = Control(settings.alertmanager_url) if settings.alertmanager_url else None
    source = PrometheusSource(prometheus, metrics.view) if prometheus else None
    data_dir, locks = Path(settings.data_dir), fittings.locks
    audit = AuditLog(data_dir / "audit.jsonl", time.time)
    cordoning = Cordoning(CordonFile(data_dir / "cordons.json"), time.time, metrics.alerting)
    cordoning.told = fittings.on_cordons
    fittings.on_cordons(cordoning.now.nodes())
    running = dispatcher.running
    fleet = Fleet(
        view, core, cordoning.now.on, locks.on, lambda: fittings.mistakes, running.silence
    )
    dead_man = DeadMan(
        metrics.view, awaited=alertmanager is not None, silence=settings.alarm_silence
    )
    sight = Sight(view, core, cordoning.now, prometheus)
    remediation = Remediation(
        cordoning,
        sight,
        metrics.alerting,
        audit,
        alertmanager,
        running.stop_unanswered,
        repeat=settings.alert_repeat,
    )
    review = Review(
        cordoning,
        sight,
        metrics.alerting,
        audit,
        remediation.withheld,
        lasts=remediation.lasts,
        steady=STEADY_SCRAPES * settings.scrape_interval,
    )
    checks = HealthChecks(fittings.list_models, fittings.on_check, interval=settings.check_interval)
    models = Models(core, view, fittings.clients, fittings.slots, checks.once)
    dispatcher.have = models.ensure
    dispatcher.holder = locks.holder
    alert_watch = AlertWatch(alertmanager)
    scenery = Scenery(fleet, view, alert_watch, dead_man, promql=prometheus is not None)
    engine, sessions = make_engine(keys=keyring is not None), Sessions(time.monotonic)
    board = Board(scenery, engine)
    state = State(
        {
            "keyring": keyring,
            "wrong_keys": WrongKeys(time.monotonic),
            "sessions": sessions,
            "dispatcher": dispatcher,
            "models": models,
            "shelf": Shelf(view, fittings.clients),
            "audit": audit,
            "streams": streams,
            "refused_page": engine.get_template("refused.html"),
            "live": Live(board, lambda: dispatcher.draining),
        }
    )
    lifespan = Lifespan(
        settings=settings,
        state=state,
        fittings=fittings,
        poller=Poller(view, metrics.view, source, fittings.exporters),
        checks=checks,
        runners=(
            sweeper.run,
            streams.run,
            dispatcher.run,
            models.run,
            alert_watch.run,
            locks.run,
            review.run,
            dead_man.run,
            *(Herald(dead_man, *way).run for way in ways_of(settings).items()),
            Lateness(metrics.loop_late).run,
        ),
        controls=tuple(control for control in (prometheus, alertmanager) if control),
    )
    services = {
        "view": view,
        "dispatcher": dispatcher,
        "models": models,
        "fleet": fleet,
        "operating": Operating(
            lambda: fittings.inventory, core, dispatcher, cordoning, locks, fittings.leases, fleet
        ),
        "remediation": remediation,
        "alertmanager": Alertmanager(alertmanager),
        "audit": audit,
        "dead_man": dead_man,
        "page": MetricsPage(metrics, core, view.names),
        "promql": PromqlDoor(prometheus, metrics),
        "about": About(settings, view, core, dispatcher),
        "doctor": Doctor(
            view,
            core,
            lambda: fittings.mistakes,
            cordoning.now.on,
            locks.on,
            fittings.slots,
            running.silence,
            Chain(
                scenery.prometheus,
                scenery.alertmanager,
                lambda: alert_watch.problem,
                dead_man.silent,
            ),
            keys=keyring is not None,
            nodes_file=Path(settings.nodes_file).absolute(),
        ),
        "board": board,
        "recent": dispatcher.recent,
        "assets": Assets(),
        "login": Login(engine, sessions),
    }
    litestar = Litestar(
        route_handlers=[
            *HOT,
            show,
            ollama_pull.pull,
            ollama_pull.RefusedController,
            ModelsController,
            OllamaModelsController,
            FleetController,
            FleetModelsController,
            NodesController,
            RemediationController,
            DiagnosticsController,
            SchemaController,
            DebugController,
            ProbesController,
            PagesController,
            LoginController,
            events,
        ],
        guards=[default_deny],
        dependencies={name: _given(service) for name, service in services.items()},
        exception_handlers=HANDLERS,
        lifespan=[lifespan],
        state=state,
        openapi_config=None,
        logging_config=None,
    )

    hosts = fittings.hosts = Hosts(settings.listen, inventory.router.allowed_hosts)
    hot = {
        path: direct(litestar, handler.fn, Role.USER) for handler in HOT for path in handler.paths
    }
    front_door = FrontDoor(litestar, hosts=hosts, error_body=envelope, hot=hot)
    return Router(front_door, litestar, dispatcher, metrics)


def ways_of(settings: Settings) -> dict[str, Way]:
    """To people, past Alertmanager."""
    ways: dict[str, Way] = {}
    if settings.mail is not None:
        ways["mail"] = Letters(settings.mail)
    if settings.alarm_webhook is not None:
        ways["webhook"] = Webhook(settings.alarm_webhook)
    return ways


def _given(service: object) -> Provide:
    """A dependency that is there already."""

    def give() -> object:
        return service

    return Provide(give, sync_to_thread=False)


__all__ = ["Leases", "Router", "create_app"]
