"""The router's page of metrics."""

import re
from collections.abc import Iterable
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from dpl_router.metrics import (
    NAMED_MODELS,
    OPENMETRICS,
    TEXT,
    LoadCause,
    RouterMetrics,
    form_of,
)
from dpl_router.scheduling.types import Reason
from tests.fakes.programs import ROOT


class Page:
    """A page of metrics and what stands on it."""

    def __init__(self, *models: str) -> None:
        self.registry = CollectorRegistry()
        self.metrics = RouterMetrics(self.registry)
        self.metrics.know_models(models)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def labels(self, name: str, label: str) -> set[str]:
        return {
            sample.labels[label]
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name
        }

    def names(self) -> set[str]:
        return {sample.name for family in self.registry.collect() for sample in family.samples}


def samples(families: Iterable[Metric]) -> set[tuple[str, float]]:
    """But for the process's own, which go on between two looks."""
    return {
        (sample.name, sample.value)
        for family in families
        if not family.name.startswith("process_")
        for sample in family.samples
    }


def test_a_name_that_a_client_made_up_makes_no_series() -> None:
    page = Page("real")

    for number in range(1000):
        page.metrics.model(f"made-up-{number}").ended["rejected"].inc()
    page.metrics.model("real").ended["ok"].inc()

    assert page.labels("dpl_router_requests_total", "model") == {"real", "other"}
    assert page.value(
        "dpl_router_requests_total", model="other", route="chat", outcome="rejected"
    ) == (1000)


def test_at_most_eighty_models_keep_their_name() -> None:
    page = Page(*(f"m{number}" for number in range(NAMED_MODELS + 5)))

    for number in range(NAMED_MODELS + 5):
        page.metrics.model(f"m{number}").ended["ok"].inc()

    assert len(page.labels("dpl_router_requests_total", "model")) == NAMED_MODELS + 1


def test_which_models_keep_their_name_is_not_left_to_chance() -> None:
    """A set's order is another after each restart, and with it the labels would be."""
    names = [f"m{number:03}" for number in range(NAMED_MODELS + 20)]
    page = Page()

    page.metrics.know_models(iter(reversed(names)))
    for name in names:
        page.metrics.model(name).ended["ok"].inc()

    kept = page.labels("dpl_router_requests_total", "model")
    assert kept == {*names[:NAMED_MODELS], "other"}


def test_only_the_ten_models_that_were_used_first_have_histograms() -> None:
    page = Page(*(f"m{number}" for number in range(30)))

    for number in range(29, -1, -1):
        page.metrics.model(f"m{number}").durations["ok"].observe(1.0)

    with_histogram = page.labels("dpl_router_request_duration_seconds_count", "model")
    assert with_histogram == {f"m{number}" for number in range(20, 30)} | {"other"}
    assert page.value("dpl_router_request_duration_seconds_count", model="other") == 20


def test_a_model_keeps_its_histogram_on_every_route() -> None:
    page = Page(*(f"m{number}" for number in range(11)))
    for number in range(11):
        page.metrics.model(f"m{number}")

    page.metrics.model("m0", route="completions").durations["ok"].observe(1.0)

    assert page.value("dpl_router_request_duration_seconds_count", model="m0") == 1


def test_every_outcome_exists_before_it_happens() -> None:
    """An alert on an increase misses the first event of a series that begins at 1."""
    page = Page("m")

    page.metrics.model("m")
    page.metrics.node("a")

    six = {"ok", "client_error", "upstream_error", "timeout", "cancelled", "rejected"}
    assert page.labels("dpl_router_requests_total", "outcome") == six
    assert page.labels("dpl_router_upstream_requests_total", "outcome") == six
    assert page.value("dpl_router_streams_truncated_total", node="a") == 0
    assert page.value("dpl_router_node_cordoned", node="a") == 0
    assert page.value("dpl_router_circuit_state", node="a") == 0


def test_a_reason_exists_from_its_first_event() -> None:
    page = Page("m")

    page.metrics.model("m").decisions[Reason.WARM].inc()

    assert page.labels("dpl_router_scheduling_decisions_total", "reason") == {"warm"}


def test_the_gauges_follow_the_book_down_to_zero() -> None:
    page = Page("m")
    page.metrics.show_book({("a", "m"): 3}, circuits={"a": 2}, queues={"m": (5, 8)})

    assert page.value("dpl_router_upstream_in_flight", node="a", model="m") == 3
    assert page.value("dpl_router_circuit_state", node="a") == 2
    assert page.value("dpl_router_queue_depth", model="m") == 5
    assert page.value("dpl_router_queue_limit", model="m") == 8

    page.metrics.show_book({}, circuits={"a": 0}, queues={})

    assert page.value("dpl_router_upstream_in_flight", node="a", model="m") == 0
    assert page.value("dpl_router_circuit_state", node="a") == 0
    assert page.value("dpl_router_queue_depth", model="m") == 0


def test_a_removed_node_leaves_no_series_behind() -> None:
    page = Page()
    page.metrics.know_models(["m"])
    for node in ("gone", "here"):
        page.metrics.node(node).ended["ok"].inc()
        page.metrics.node_model(node, "m").output_tokens.inc(7)

    page.metrics.forget_node("gone")
    page.metrics.forget_node("never-there")

    assert b'node="gone"' not in page.metrics.render("text/plain")[1]
    assert page.value("dpl_router_upstream_output_tokens_total", node="here", model="m") == 7


def test_exactly_one_mode_is_on_and_it_is_blind_before_the_first_view() -> None:
    page = Page()
    name = "dpl_router_scheduling_mode"

    def modes() -> dict[str, float | None]:
        return {word: page.value(name, **{name: word}) for word in ("promql", "direct", "blind")}

    assert modes() == {"promql": 0, "direct": 0, "blind": 1}

    page.metrics.view.mode("direct")

    assert modes() == {"promql": 0, "direct": 1, "blind": 0}


def test_both_formats_tell_the_same_and_can_be_read() -> None:
    page = Page("m")
    page.metrics.model("m").first_token(0.2, "req-1")
    page.metrics.node("a").time_to_first_token.observe(0.2)

    text_type, text = page.metrics.render("text/plain")
    open_type, openmetrics = page.metrics.render(OPENMETRICS)

    assert text_type.startswith("text/plain")
    assert open_type.startswith("application/openmetrics-text")
    plain = list(read_text(text.decode()))
    rich = list(read_openmetrics(openmetrics.decode()))  # type: ignore[no-untyped-call]
    assert samples(plain) == samples(rich)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.977", OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5", TEXT),
        ("application/openmetrics-text; version=abc", TEXT),
        ("text/plain; version=1.x", TEXT),
    ],
)
def test_there_are_two_forms_and_an_odd_wish_gets_text(accept: str, form: str) -> None:
    page = Page()

    assert form_of(accept) == form
    assert page.metrics.render(accept)[0] == page.metrics.render(form)[0]


def test_the_first_token_carries_its_request_id_unless_that_is_too_long() -> None:
    """OpenMetrics allows 128 characters; a client's long id must not fail its request."""
    page = Page("m")

    page.metrics.model("m").first_token(0.2, "short")
    page.metrics.model("m").first_token(0.2, "x" * 500)

    openmetrics = page.metrics.render(OPENMETRICS)[1]
    assert b'{request_id="short"}' in openmetrics
    assert b"xxx" not in openmetrics
    assert page.value("dpl_router_time_to_first_token_seconds_count", model="m") == 2


def test_no_series_repeats_when_it_was_created() -> None:
    page = Page("m")
    page.metrics.model("m").durations["ok"].observe(1.0)

    assert not [name for name in page.names() if name.endswith("_created")]


def series(nodes: int, models: int) -> int:
    """Of a page on which each node has had everything once; ten models in use beside it."""
    page = Page(*(f"m{number}" for number in range(NAMED_MODELS)))
    for number in range(NAMED_MODELS):
        page.metrics.model(f"m{number}").decisions[Reason.CHEAPEST].inc()
    page.metrics.alerting.withheld({f"n{node}" for node in range(nodes)}, ())
    for node in range(nodes):
        for cause in get_args(LoadCause):
            page.metrics.node(f"n{node}").reloads[cause].inc()
        for model in range(models):
            page.metrics.node_model(f"n{node}", f"m{model}")
    lines = page.metrics.render("text/plain")[1].splitlines()
    return sum(not line.startswith(b"#") for line in lines)


def test_the_page_stays_within_the_budget_of_its_alert() -> None:
    """What DplScrapeTooBig reckons with: so many, and so many more for each node and pair."""
    rules = (ROOT / "prometheus/rules/dpl-meta.rules.yml").read_text("utf-8")
    budget = re.search(
        r"(\d+) \+ (\d+) \* count by \(instance\) \(dpl_router_circuit_state\)\n"
        r" *\+ on \(instance\)\n *(\d+) \* \(count",
        rules,
    )

    assert budget is not None
    base, node, pair = map(int, budget.groups())
    bare = series(nodes=0, models=0)
    assert bare <= base
    assert series(nodes=20, models=0) - bare == 20 * node
    assert series(nodes=20, models=5) - bare == 20 * node + 100 * pair


def test_a_name_that_only_a_client_knows_is_no_label_at_a_node_either() -> None:
    page = Page()
    page.metrics.know_models(["m"])
    page.metrics.show_book({("a", "m"): 1, ("a", "x"): 2, ("a", "y"): 3}, {}, {})

    assert page.value("dpl_router_upstream_in_flight", node="a", model="m") == 1
    assert page.value("dpl_router_upstream_in_flight", node="a", model="other") == 5
    assert b'model="x"' not in page.metrics.render("text/plain")[1]
