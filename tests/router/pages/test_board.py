"""What the overview says of the fleet, and what it sends of it when something changes."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from prometheus_client import CollectorRegistry

from dpl_router.fleet.service import Fleet
from dpl_router.inventory.types import Inventory, Node
from dpl_router.listing import Listed
from dpl_router.metrics import Mode, RouterMetrics
from dpl_router.nodes.cordons import Cordon, Cordons
from dpl_router.nodes.locks import Lock
from dpl_router.pages.alert_watch import AlertWatch
from dpl_router.pages.board import KEEP_SECONDS, Board, Page
from dpl_router.pages.engine import make_engine
from dpl_router.pages.scene import Scenery
from dpl_router.pages.words import state_words
from dpl_router.remediation.dead_man import SILENCE_SECONDS, DeadMan
from dpl_router.scheduling.core import make_core
from dpl_router.scheduling.types import Config, NodeConfig
from dpl_router.telemetry.alerts import Alert
from dpl_router.telemetry.sample import NodeSample, PeopleSample
from dpl_router.telemetry.view import Check, FleetView

HOSTILE = "<img src=x onerror=alert(1)>\"'{{ 7*7 }}</script>"


@dataclass
class Stage:
    """A board over a fleet that the test makes up."""

    names: Sequence[str] = ("a", "b")
    promql: bool = False
    watch: AlertWatch = field(default_factory=lambda: AlertWatch(None))
    settle: float = 0.0
    silence: float | None = None

    def __post_init__(self) -> None:
        metrics = RouterMetrics(CollectorRegistry())
        nodes = tuple(
            Node(name, f"http://{name}", exporter=f"http://{name}:8001") for name in self.names
        )
        core = make_core(Config(tuple(NodeConfig(name) for name in self.names)))
        self.view = FleetView(Inventory(nodes), metrics.view)
        self.dead_man = DeadMan(metrics.view, awaited=self.watch.configured)
        self.cordons = Cordons()
        self.lock: Lock | None = None
        fleet = Fleet(
            self.view,
            core,
            self.cordons.on,
            lambda _: self.lock,
            silence=lambda _, __: self.silence,
        )
        scenery = Scenery(
            fleet, self.view, self.watch, self.dead_man, promql=self.promql, settle=self.settle
        )
        engine = make_engine()
        self.rendered: list[str] = []
        """The reason of each row that was rendered."""

        def counted(reason: str) -> tuple[str, str]:
            self.rendered.append(reason)
            return state_words(reason)

        engine.filters["state_words"] = counted
        self.board = Board(scenery, engine)

    def page(self, name: Page) -> str:
        return asyncio.run(self.board.page(name))

    def since(self, name: Page, seen: int) -> dict[str, str]:
        return asyncio.run(self.board.since(name, seen))

    def checked(self, *models: str, ok: bool = True) -> "Stage":
        for name in self.names:
            self.view.on_check(
                name, Check(ok, tuple(map(Listed, models)), None if ok else "no answer")
            )
        return self

    def sampled(self, mode: Mode, ago: float = 0.0, **people: float | int) -> "Stage":
        now = time.monotonic()
        self.view.on_samples(
            mode, {name: NodeSample(sampled_at=now - ago, up=True) for name in self.names}, now
        )
        self.view.on_people({name: PeopleSample(**people) for name in self.names})  # type: ignore[arg-type]
        return self

    def alerting(self, *alerts: Alert, problem: str | None = None) -> "Stage":
        self.watch.configured = True
        self.watch.alerts, self.watch.read_at = alerts, time.monotonic()
        self.watch.problem = problem
        return self


def an_alert(summary: str = "it is down", node: str | None = "a", silenced: bool = False) -> Alert:
    return Alert("DplNodeDown", "critical", summary, "", node, "2026-01-02T03:04:05Z", silenced)


def test_an_alert_names_what_to_do_where_its_rule_does() -> None:
    named = msgspec.structs.replace(an_alert(), runbook_url="prometheus/runbooks/DplNodeDown.md")

    with_one, without = Stage().alerting(named), Stage().alerting(an_alert())

    said = "What to do: <code>prometheus/runbooks/DplNodeDown.md</code>"
    assert said in with_one.page("overview")
    assert "What to do" not in without.page("overview")


def test_each_alert_is_opened_by_itself() -> None:
    """Four cards of one node have four alerts of one name, told apart by the GPU alone."""
    alerts = [
        msgspec.structs.replace(an_alert(), description="It is hot.", fingerprint=f"f{number}")
        for number in range(4)
    ]
    page = Stage().alerting(*alerts).page("overview")

    assert sorted(re.findall(r'data-key="(\w+)"', page)) == ["f0", "f1", "f2", "f3"]


def test_before_the_first_check_the_page_says_that_it_asks() -> None:
    page = Stage().page("overview")

    assert "Asking the nodes for the first time" in page
    assert "No node is ready" not in page


def test_the_headline_counts_ready_nodes() -> None:
    all_three = Stage(names=("a", "b", "c")).checked("tiny").page("overview")
    none = Stage().checked(ok=False).page("overview")
    one = Stage(names=("a",)).checked().page("overview")

    assert "All 3 nodes are ready" in all_three
    assert "No node is ready" in none
    assert "The node is ready" in one


def test_critical_alerts_are_in_the_headline_which_is_not_green_then() -> None:
    """A node that hangs answers its checks: "ready" alone would say that all is well."""
    stage = Stage().checked("tiny").alerting(an_alert(), an_alert(silenced=True))
    two = Stage(names=("a",)).checked("tiny").alerting(an_alert(), an_alert())
    lesser = msgspec.structs.replace(an_alert(), severity="warning")
    warned = Stage().checked("tiny").alerting(lesser, an_alert(silenced=True))
    partly = Stage().checked("tiny").alerting(an_alert())
    partly.view.on_check("b", Check(False, (), "gone"))
    headline = stage.since("overview", 0)["headline"]

    assert "<span>Both nodes answer their checks · 1 critical alert</span>" in headline
    assert "is-bad" in headline
    assert "is-ready" not in headline
    assert "The node answers its checks · 2 critical alerts" in two.page("overview")
    assert "<span>Both nodes are ready</span>" in warned.page("overview")
    assert "<span>1 of 2 nodes ready · 1 critical alert</span>" in partly.page("overview")


def test_without_prometheus_the_alerts_are_of_when_it_told_last() -> None:
    stage = Stage(promql=True).checked("tiny").sampled("promql").alerting(an_alert())
    fresh = stage.since("overview", 0)["alerts"]
    gone = Stage(promql=True).checked("tiny").sampled("promql").sampled("direct")
    old = gone.alerting(an_alert()).since("overview", 0)["alerts"]

    assert "as of" not in fresh
    assert "stale" not in fresh
    assert "as of <time" in old
    assert 'class="stale"' in old


def test_that_there_are_no_alerts_is_said_only_where_that_is_known() -> None:
    def alerts(stage: Stage) -> str:
        return stage.checked("tiny").since("overview", 0)["alerts"]

    known = alerts(Stage(promql=True).sampled("promql").alerting())
    no_prometheus = alerts(Stage(promql=True).sampled("direct").alerting())
    no_alertmanager = alerts(Stage().alerting(problem="connection refused"))

    assert "No alerts" in known
    for unknown in (no_prometheus, no_alertmanager):
        assert "Not known" in unknown
        assert "No alerts" not in unknown
        assert "is-ok" not in unknown


def test_a_silence_is_told_with_the_state_in_steps() -> None:
    stage = Stage(names=("a",), silence=83.2).checked("tiny")
    later = Stage(names=("a",), silence=85.9).checked("tiny")

    assert '<p class="sub">no word for 80 s</p>' in stage.since("overview", 0)["nodes"]
    assert stage.since("overview", 0)["nodes"] == later.since("overview", 0)["nodes"]


def test_names_and_words_of_strangers_are_text_and_never_markup() -> None:
    stage = Stage().checked(HOSTILE).alerting(an_alert(HOSTILE, node=HOSTILE))
    stage.view.on_check("b", Check(False, (Listed(HOSTILE),), HOSTILE))

    for page in (stage.page("overview"), stage.page("chat")):
        assert "<img" not in page
        assert "{{ 7*7 }}" in page
        assert "&lt;img src=x onerror=alert(1)&gt;&#34;&#39;" in page


def test_a_node_that_was_never_measured_shows_dashes_and_no_zeros() -> None:
    row = Stage(names=("a",)).checked().since("overview", 0)["nodes"]

    assert "not measured" in row
    assert "GiB" not in row
    assert 'class="bar"' not in row


def test_load_and_memory_are_shown_where_they_were_measured() -> None:
    stage = Stage(names=("a",)).checked()
    stage.sampled("promql", load=0.42, memory=0.5, memory_total=16 * 1024**3)
    row = stage.since("overview", 0)["nodes"]

    assert "<p>42&#8239;<small>%</small></p>" in row
    assert "8.0 <small>of 16.0 GiB</small>" in row
    assert "stale" not in row


def test_an_old_measurement_is_marked_with_its_time() -> None:
    stage = Stage(names=("a",)).checked().sampled("promql", ago=300.0, load=0.42)
    row = stage.since("overview", 0)["nodes"]

    assert "stale" in row
    assert "as of <time" in row


def test_a_dead_prometheus_is_one_banner_that_says_what_goes_on() -> None:
    direct = Stage(promql=True).checked().sampled("direct").since("overview", 0)
    blind = Stage(promql=True).checked().since("overview", 0)
    fine = Stage(promql=True).checked().sampled("promql").since("overview", 0)

    assert "the router asks the exporters itself" in direct["banners"]
    assert "own checks alone" in blind["banners"]
    assert fine["banners"].strip() == ""


def test_a_router_without_prometheus_does_not_complain_of_it() -> None:
    pieces = Stage(promql=False).checked().since("overview", 0)

    assert pieces["banners"].strip() == ""
    assert "not set up" in pieces["status"]


def test_a_dead_alertmanager_is_one_banner_and_the_last_alerts_stay_greyed() -> None:
    stage = Stage().checked().alerting(an_alert(), problem="it cannot be reached")
    pieces = stage.since("overview", 0)

    assert pieces["banners"].count("Alertmanager does not answer") == 1
    assert "it cannot be reached" in pieces["banners"]
    assert 'class="stale"' in pieces["alerts"]
    assert "as of <time" in pieces["alerts"]
    assert "it is down" in pieces["alerts"]


def test_alerts_count_at_their_node_unless_silenced() -> None:
    stage = Stage().checked().alerting(an_alert(), an_alert(), an_alert(node="b", silenced=True))
    pieces = stage.since("overview", 0)

    assert "2 alerts" in pieces["nodes"]
    assert pieces["nodes"].count('class="tag"') == 1
    assert 'data-alerts="2"' in pieces["headline"]
    assert "1 silenced" in pieces["alerts"]


def test_a_heartbeat_that_was_heard_and_stopped_is_a_red_banner() -> None:
    never, fresh, late = (Stage().checked().alerting() for _ in range(3))
    fresh.dead_man.last = time.monotonic() - 10
    late.dead_man.last = time.monotonic() - SILENCE_SECONDS - 1

    assert "is-bad" not in never.since("overview", 0)["banners"]
    assert "No heartbeat" in never.since("overview", 0)["alerts"]
    assert "is-bad" not in fresh.since("overview", 0)["banners"]
    assert "The alarm chain is silent" in late.since("overview", 0)["banners"]


def cordoned(stage: Stage, *cordons: Cordon) -> str:
    """The page's rows."""
    for cordon in cordons:
        stage.cordons.by_alert(cordon)
    stage.view.bar(stage.cordons.nodes(), frozenset(), 0.0)
    return stage.since("overview", 0)["nodes"]


def test_a_cordon_says_who_why_and_until_when() -> None:
    now = time.time()
    alert = Cordon("a", "alert", "DplGpuHot", HOSTILE, now - 60, now + 120, fingerprint="1")
    stage = Stage(names=("a",)).checked("tiny")
    by_alert = cordoned(stage, alert)
    stage = Stage(names=("a",)).checked("tiny")
    stage.cordons.by_operator("a", "ann", "new fan", now)
    by_both = cordoned(stage, alert)

    assert "<strong>Cordoned by alert DplGpuHot</strong>" in by_alert
    assert "unless the alert repeats" in by_alert
    assert "<img" not in by_alert
    assert "<strong>Cordoned by ann</strong>" in by_both
    assert '<p class="sub">new fan</p>' in by_both
    assert "also by alert DplGpuHot" in by_both


def test_a_cordon_whose_alert_is_over_says_what_it_waits_for() -> None:
    alert = Cordon("a", "alert", "X", "", 0.0, 9e9, fingerprint="1", resolved=True)
    row = cordoned(Stage(names=("a",)).checked("tiny"), alert)

    assert "the alert is over, the node must be seen well" in row
    assert "unless the alert repeats" not in row


def test_a_lock_says_who_why_and_whether_it_is_held() -> None:
    stage = Stage(names=("a",)).checked("tiny")
    stage.lock = Lock("a", "ann", "bench", 0.0, standing=True, problem="it is held by bob")
    row = stage.since("overview", 0)["nodes"]

    assert "<strong>Locked by ann</strong>" in row
    assert "not held now: it is held by bob" in row


def test_a_model_that_means_other_weights_there_is_told_as_left_out() -> None:
    stage = Stage(names=("a", "b", "c")).checked("tiny")
    words = {"a": "w1", "b": "w2", "c": "w2"}
    stage.view.on_people({n: PeopleSample(weights={"tiny": w}) for n, w in words.items()})
    rows = stage.since("overview", 0)["nodes"]

    assert rows.count("left out: other weights than elsewhere") == 1


def later(stage: Stage, page: str = "overview") -> dict[str, str]:
    """What changed since the last look, once the board renders anew."""
    seen = stage.board.version
    time.sleep(KEEP_SECONDS + 0.05)
    return stage.since("chat" if page == "chat" else "overview", seen)


def test_only_the_row_that_changed_is_sent() -> None:
    stage = Stage().checked("tiny").sampled("promql", load=0.1)
    stage.since("overview", 0)
    stage.view.on_people({"b": PeopleSample(load=0.9)})

    assert list(later(stage)) == ["headline", "node-b"]


def test_only_the_row_that_changed_is_rendered() -> None:
    """An age alone, which grows with each look, is no change."""
    stage = Stage(names=("a", "b", "c")).checked("tiny").sampled("promql", load=0.1)
    stage.since("overview", 0)
    first = len(stage.rendered)
    stage.view.on_check("b", Check(False, (), "gone"))
    later(stage)

    assert first == 3
    assert stage.rendered[first:] == ["offline: gone"]


async def test_a_large_fleets_page_leaves_the_loop_to_others_meanwhile() -> None:
    """Every open stream waits for it, as long as a page is open anywhere."""
    names = [f"node-{number}" for number in range(400)]
    stage = Stage(names=names).checked("a", "b", "c").sampled("promql", load=0.1)
    turns = 0

    async def stream() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(stream())
    pieces = await asyncio.gather(*(stage.board.since("overview", 0) for _ in range(3)))
    other.cancel()

    assert len(stage.rendered) == len(names)
    assert pieces[0] == pieces[1] == pieces[2]
    assert turns > 4


def test_a_node_that_went_and_came_back_is_shown_again() -> None:
    stage = Stage(names=("a", "b")).checked("tiny")
    stage.since("overview", 0)
    stage.view.reload(Inventory((Node("b", "http://b"),)))
    gone = later(stage)
    stage.view.reload(Inventory((Node("a", "http://a"), Node("b", "http://b"))))
    back = later(stage)

    assert "node-a" not in gone["nodes"]
    assert "node-a" in back["nodes"]


def test_rows_that_change_places_are_sent_together() -> None:
    stage = Stage().checked("tiny")
    first = stage.since("overview", 0)["nodes"]
    stage.view.on_check("a", Check(False, (), "gone"))
    then = later(stage)

    assert first.index("node-a") < first.index("node-b")
    assert then["nodes"].index("node-b") < then["nodes"].index("node-a")
    assert "node-a" not in then


def test_nothing_is_sent_where_nothing_changed() -> None:
    stage = Stage().checked("tiny").sampled("promql", ago=300.0, load=0.1).alerting(an_alert())
    stage.dead_man.last = time.monotonic() - 5
    stage.since("overview", 0)

    assert later(stage) == {}


def test_all_viewers_share_one_rendering() -> None:
    stage = Stage().checked("tiny")
    first = stage.since("overview", 0)
    stage.view.on_check("a", Check(False, (), "gone"))

    assert stage.since("overview", 0) == first


def test_the_chat_gets_its_own_pieces_alone() -> None:
    stage = Stage().checked("tiny")
    pieces = stage.since("chat", 0)

    assert set(pieces) == {"banners", "models", "status"}
    assert '<option value="tiny">tiny — on a, b</option>' in pieces["models"]


def test_fifty_nodes_fit_the_page_weight() -> None:
    names = [f"node-{number}" for number in range(50)]
    stage = Stage(names=names).checked("a", "b", "c").sampled("promql", load=0.1, memory=0.2)

    assert len(stage.page("overview").encode()) < 100_000


def test_what_may_be_starting_beside_the_router_is_not_missed_at_once() -> None:
    def page(settle: float) -> str:
        stage = Stage(promql=True, settle=settle).checked("tiny").sampled("direct")
        stage.watch.configured, stage.watch.problem = True, "connection refused"
        return stage.page("overview")

    for words in ("no fresh facts", "does not answer"):
        assert words not in page(60)
        assert words in page(0)


def test_what_went_away_is_missed_at_once() -> None:
    stage = Stage(promql=True, settle=60).checked("tiny").sampled("promql")
    stage.alerting().page("overview")
    time.sleep(KEEP_SECONDS + 0.05)
    stage.sampled("direct").alerting(problem="connection refused")
    page = stage.page("overview")

    assert "no fresh facts" in page
    assert "does not answer" in page
