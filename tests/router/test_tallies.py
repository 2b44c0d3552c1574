"""Our own tallies against prometheus_client's, which are the reference for what a page says."""

import threading
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from dpl_router.scheduling.types import Reason
from dpl_router.tallies import Both, Page

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
BOUNDS = (0.1, 0.25, 1, 2.5, 10)

labels = st.tuples(st.text(max_size=3), st.sampled_from(["a", 'quo"te', "back\\slash", "line\n"]))
amounts = st.floats(-1e6, 1e6) | st.sampled_from(BOUNDS)
events = st.lists(st.tuples(labels, amounts, st.integers(0, 5)), max_size=30)


def page(registry: CollectorRegistry, accept: str = OPENMETRICS) -> str:
    encode, _ = choose_encoder(accept)
    return encode(registry).decode()


@given(events)
def test_the_page_is_to_the_byte_what_prometheus_client_makes_of_the_same_events(
    history: list[tuple[tuple[str, str], float, int]],
) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    names, pages = ["x", "y"], Page(ours)
    requests = (
        Counter("requests_total", "How many.", names, registry=theirs),
        pages.counts("requests_total", "How many.", names),
    )
    open_now = (
        Gauge("open", "So\nmany.", names, registry=theirs),
        pages.levels("open", "So\nmany.", names),
    )
    first = (
        Summary("first_seconds", "Till then.", names, registry=theirs),
        pages.sums("first_seconds", "Till then.", names),
    )
    whole = (
        Histogram("whole_seconds", "To the end.", names, buckets=BOUNDS, registry=theirs),
        pages.buckets("whole_seconds", "To the end.", names, BOUNDS),
    )
    alone = (
        Counter("alone_total", "No label.", registry=theirs),
        pages.count("alone_total", "No label."),
    )
    level = Gauge("level", "None.", registry=theirs), pages.level("level", "None.")

    for values, amount, whole_number in history:
        for family in requests:
            family.labels(*values).inc()
            family.labels(*values).inc(abs(amount))
            family.labels(*values).inc(whole_number)
        for gauge in open_now:
            gauge.labels(*values).inc()
            gauge.labels("dec", values[1]).dec()
            gauge.labels("set", values[1]).set(amount)
        for seconds in (*first, *whole):
            seconds.labels(*values).observe(amount)
        for counter in alone:
            counter.inc(whole_number)
        for one in level:
            one.set(amount)

    assert page(ours) == page(theirs)
    assert page(ours, "text/plain") == page(theirs, "text/plain")


anything = st.floats() | st.integers() | st.sampled_from([10**400, -(10**400), 2**1024])


@given(st.lists(anything, min_size=1, max_size=5), st.text(max_size=3))
def test_no_number_takes_the_page_away(numbers: list[float], label: str) -> None:
    registry = CollectorRegistry()
    pages = Page(registry)
    count = pages.counts("a_total", "A.", ["x"]).labels(label)
    level = pages.levels("b", "B.", ["x"]).labels(label)
    seconds = pages.sums("c", "C.", ["x"]).labels(label)
    whole = pages.buckets("d", "D.", ["x"], BOUNDS).labels(label)
    for number in numbers:
        level.set(number)
        with suppress(OverflowError):
            whole.observe_request(number, "r")
        for add in (count.inc, seconds.observe, whole.observe):
            with suppress(OverflowError):
                add(number)

    for accept in (OPENMETRICS, "text/plain"):
        assert "a_total{" in page(registry, accept)


def test_a_name_cannot_be_used_twice() -> None:
    registry = CollectorRegistry()
    Page(registry).count("twice_total", "Once.")

    with pytest.raises(ValueError, match="twice"):
        Page(registry).level("twice_total", "Again.")


def test_labels_must_be_as_many_as_there_are_names() -> None:
    family = Page(CollectorRegistry()).counts("x_total", "X.", ["a", "b"])

    with pytest.raises(ValueError, match="labels"):
        family.labels("only one")


def test_an_enums_word_and_its_text_are_one_series() -> None:
    family = Page(CollectorRegistry()).counts("x_total", "X.", ["reason"])

    assert family.labels(Reason.WARM) is family.labels("warm")


def test_a_counter_never_falls() -> None:
    """What a node reports may be anything; a counter that falls looks like a restart."""
    counter = Page(CollectorRegistry()).count("x_total", "X.")
    counter.inc(5)
    counter.inc(-3)

    assert counter.value == 5


def exemplars(registry: CollectorRegistry) -> dict[str, str]:
    """Bound of a bucket -> id of the request that stands beside it."""
    families = text_string_to_metric_families(page(registry))  # type: ignore[no-untyped-call]
    return {
        sample.labels["le"]: sample.exemplar.labels["request_id"]
        for family in families
        for sample in family.samples
        if sample.exemplar is not None
    }


def test_each_bucket_keeps_the_request_that_came_first_for_a_second() -> None:
    """One exemplar for each request would cost more than counting it, and none but the last of a
    scrape's interval is ever seen."""
    registry = CollectorRegistry()
    seconds = Page(registry).buckets("x_seconds", "X.", ["model"], BOUNDS).labels("m")
    for turn in range(50):
        seconds.observe_request(0.05, f"quick-{turn}")
        seconds.observe_request(99.0, f"slow-{turn}")

    assert exemplars(registry) == {"0.1": "quick-0", "+Inf": "slow-0"}


def test_a_page_can_be_rendered_while_others_count() -> None:
    """Rendering has a thread of its own: new series must not break it."""
    registry = CollectorRegistry()
    family = Page(registry).buckets("x_seconds", "X.", ["model"], BOUNDS)
    pages: list[str] = []
    reader = threading.Thread(target=lambda: pages.extend(page(registry) for _ in range(20)))
    reader.start()
    turn = 0
    while reader.is_alive():
        family.labels(f"m{turn % 500}").observe_request(turn % 7, f"r{turn}")
        turn += 1
    reader.join(timeout=60)

    assert len(pages) == 20
    assert all(text.endswith("# EOF\n") for text in pages)


def test_two_histograms_of_one_thing_count_alike_and_the_first_has_the_exemplar() -> None:
    registry = CollectorRegistry()
    first = Page(registry).buckets("x_seconds", "X.", (), BOUNDS).labels()
    second = Page(registry).buckets("y_seconds", "Y.", (), (5,)).labels()
    both = Both(first, second)
    both.observe(0.2)

    kept = [both.observe_request(3.0, "one"), both.observe_request(3.0, "two")]

    assert kept == [True, False]
    assert exemplars(registry) == {"10.0": "one"}
    assert registry.get_sample_value("x_seconds_bucket", {"le": "2.5"}) == 1
    assert registry.get_sample_value("y_seconds_bucket", {"le": "5.0"}) == 3
    for name in ("x_seconds_sum", "y_seconds_sum"):
        assert registry.get_sample_value(name) == pytest.approx(6.2)
