"""What the overview says of the fleet."""

import re
import time

import msgspec

from dpl_router.listing import Listed
from dpl_router.nodes.cordons import Cordon
from dpl_router.nodes.locks import Lock
from dpl_router.pages.board import KEEP_SECONDS
from dpl_router.remediation.dead_man import SILENCE_SECONDS
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.sample import PeopleSample
from tests.router.pages.board_stage import Stage, an_alert

HOSTILE = "<img src=x onerror=alert(1)>\"'{{ 7*7 }}</script>"


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
