"""docs/metrics.md is what the programs declare now; what they say is on it, and is well named."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.catalogue import (
    PAGE,
    Entry,
    entries,
    exporter_entries,
    otel_entries,
    rendered,
    router_entries,
)
from tests.contract.emitted import exporter_metrics, labels_of, page_families, router_registry
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, running_router

EXPORTER, ROUTER, OTEL = exporter_entries(), router_entries(), otel_entries()
EVERY = [*EXPORTER.values(), *ROUTER.values()]
CURE = "make render; where a platform says it first: python -m tests.exporter.golden"
OF_ROUTER = ("dpl_router_", "dpl_model_")
PARTS = ("_bucket", "_count", "_sum")
NOT_BASE = re.compile(
    r"_(milliseconds|ms|us|ns|minutes|hours|days|kb|kib|mb|mib|gb|gib|mhz|ghz|percent|pct|kwh|mw|age)(_|$)"
)
OF_A_PROCESS = {
    *("process_cpu_seconds_total", "process_max_fds", "process_open_fds"),
    *("process_resident_memory_bytes", "process_start_time_seconds"),
    "process_virtual_memory_bytes",
}
"""Every client library of Prometheus tells these."""
RESERVED = {"job", "instance", "cluster", "le", "quantile", "type", "__name__"}


def of_page(names: dict[str, frozenset[str]], known: dict[str, Entry]) -> list[str]:
    """Scraped series that the page does not tell, and labels of theirs that it does not."""
    wrong = []
    for name, labels in names.items():
        base = name if name in known else re.sub("(_bucket|_count|_sum)$", "", name)
        if base not in known:
            wrong.append(f"{name} is on no page of the catalogue: {CURE}")
        elif more := labels - known[base].labels.keys() - {"le"}:
            wrong.append(f"{name} has the labels {sorted(more)}, which are not there: {CURE}")
    return wrong


def test_the_page_is_what_the_programs_declare_now() -> None:
    """Otherwise: make render."""
    assert PAGE.read_text("utf-8") == rendered()


def test_every_series_of_a_real_exporter_is_in_the_catalogue_as_it_says() -> None:
    with FakeOpenAi() as llamacpp:
        found = page_families(llamacpp.url)

    assert of_page(labels_of(found), EXPORTER) == []
    for name, entry in entries({"here": found}).items():
        known = EXPORTER[name]
        assert (entry.kind, entry.words) == (known.kind, known.words), CURE


def test_every_series_of_exporters_elsewhere_is_in_the_catalogue() -> None:
    assert of_page(exporter_metrics(), EXPORTER) == []


@pytest.mark.parametrize("known", [ROUTER, ROUTER | OTEL], ids=["ours", "also OpenTelemetry's"])
async def test_every_series_of_a_real_router_is_in_the_catalogue_and_the_other_way_round(
    tmp_path: Path, known: dict[str, Entry]
) -> None:
    otel_names = OTEL.keys() <= known.keys()
    with FakeOpenAi() as node:
        nodes: dict[str, Node] = {"a": node.url}
        async with running_router(nodes, folder=tmp_path, otel_names=otel_names) as router:
            async with router.client() as client:
                body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
                (await client.post("/v1/chat/completions", json=body)).raise_for_status()
                page = (await client.get("/metrics")).text

    found = list(text_string_to_metric_families(page))
    assert of_page(labels_of(found), known) == []
    declared = set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))
    assert declared == known.keys()


def test_the_router_that_has_seen_everything_shows_each_label() -> None:
    """Else the page could not tell them: let `emitted.router_registry` see that, too."""
    assert [one.name for one in router_registry().collect() if not one.samples] == []


def flaws(entry: Entry) -> list[str]:
    """What is wrong with how it is named, labelled and explained."""
    name, labels = entry.name, entry.labels.keys()
    rules = {
        "its name is not dpl_ and small words": re.fullmatch(r"dpl(_[a-z0-9]+){2,}", name)
        or name in OF_A_PROCESS,
        "counters, and only they, end in _total": (entry.kind == "counter")
        == name.endswith("_total"),
        "_bucket, _count and _sum are the library's": not name.endswith(PARTS),
        "it is not in base units, or an age": not NOT_BASE.search(name),
        "a time ends in _timestamp_seconds": "timestamp" not in name
        or name.endswith("_timestamp_seconds"),
        "a distribution has no unit": entry.kind not in ("histogram", "summary") or entry.unit,
        "its help is no sentence": re.fullmatch(r"[A-Z0-9].*\.", entry.words),
        "a label is Prometheus's own": not labels & RESERVED,
        "a label is not small words": all(re.fullmatch("[a-z][a-z_]*", one) for one in labels),
        "an exporter does not know its place": entry.name.startswith(OF_ROUTER)
        or not labels & {"node", "host", "pid"},
    }
    return [f"{name}: {flaw}" for flaw, fine in rules.items() if not fine]


def test_every_metric_is_well_named() -> None:
    assert [flaw for entry in EVERY for flaw in flaws(entry)] == []


@pytest.mark.parametrize(
    ("entry", "flaw"),
    [
        (Entry("dpl_node_uptime_minutes", "gauge", "Time."), "base units"),
        (Entry("dpl_node_lease_age_seconds", "gauge", "Time."), "or an age"),
        (Entry("dpl_node_reads", "counter", "Reads."), "end in _total"),
        (Entry("dpl_node_reads_total", "gauge", "Reads."), "end in _total"),
        (Entry("dpl_node:reads:sum", "gauge", "Reads."), "small words"),
        (Entry("dpl_node_seen_timestamp", "gauge", "Time."), "_timestamp_seconds"),
        (Entry("dpl_router_wait", "histogram", "Wait."), "no unit"),
        (Entry("dpl_node_reads_total", "counter", "reads"), "no sentence"),
        (Entry("dpl_node_reads_total", "counter", "Reads.", {"type": {"x"}}), "Prometheus's own"),
        (Entry("dpl_node_reads_total", "counter", "Reads.", {"node": {"x"}}), "know its place"),
    ],
)
def test_a_metric_that_is_not_is_found(entry: Entry, flaw: str) -> None:
    [found] = flaws(entry)

    assert flaw in found
