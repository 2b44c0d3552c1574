"""What the two programs emit, read from a page of each: name of a series -> its labels."""

import io
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import get_args
from wsgiref.types import WSGIEnvironment
from wsgiref.util import setup_testing_defaults

import httpx
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from dpl_exporter.app import Exporter, create_app
from dpl_exporter.collectors import COLLECTORS
from dpl_exporter.settings import load
from dpl_router.metrics import LoadCause, RouterMetrics
from dpl_router.model_metrics import Ended, Finish, RetryReason, Route
from dpl_router.otel_names import OtelNames
from dpl_router.scheduling.types import Reason, Rejection
from dpl_router.tallies import Page
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAi

Labels = dict[str, frozenset[str]]
PATIENCE = 20.0
GOLDEN = Path(__file__).parents[1] / "exporter" / "golden"


def labels_of(families: Iterable[Metric]) -> Labels:
    found: Labels = {}
    for family in families:
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, frozenset()) | sample.labels.keys()
    return found


def router_metrics() -> Labels:
    """Of a router that has seen everything once, under all its names."""
    return labels_of([*router_registry().collect(), *otel_registry().collect()])


def router_registry() -> CollectorRegistry:
    """Everything was seen once, so each family shows its labels, and what they may say."""
    registry = CollectorRegistry()
    see_everything(RouterMetrics(registry))
    return registry


def otel_registry() -> CollectorRegistry:
    """Likewise, of what is under OpenTelemetry's names, and that alone."""
    registry = CollectorRegistry()
    see_everything(RouterMetrics(CollectorRegistry(), OtelNames(Page(registry))))
    return registry


def see_everything(metrics: RouterMetrics) -> None:
    metrics.know_models(["m"])
    metrics.show_identities([])
    metrics.alerting.withheld(["n"], ["n"])
    metrics.node("n").reloads.from_the_start(get_args(LoadCause))
    routes: Sequence[Route] = get_args(Route)
    for route in routes:
        handle = metrics.model("m", route)
        handle.decisions.from_the_start(Reason)
        handle.rejections.from_the_start(Rejection)
        handle.retries.from_the_start(get_args(RetryReason))
        handle.finishes.from_the_start(get_args(Finish))
        ends: Sequence[Ended] = get_args(Ended)
        for end in ends:
            handle.durations[end]
    metrics.show_book({("n", "m"): 1}, circuits={"n": 0}, queues={"m": (0, 1)})
    metrics.view.query_seconds.labels("facts").observe(0.01)


def exporter_metrics() -> Labels:
    """Of exporters beside a llama.cpp and an Ollama, and of those on other platforms."""
    with FakeOpenAi() as llamacpp, FakeOllama() as ollama:
        loaded = httpx.post(f"{ollama.url}/api/generate", json={"model": "smollm2:135m"})
        loaded.raise_for_status()
        beside = [page_families(one.url) for one in (llamacpp, ollama)]
    found = [golden_metrics(), *map(labels_of, beside)]
    return {
        name: frozenset().union(*(labels.get(name, ()) for labels in found))
        for name in {name for labels in found for name in labels}
    }


def page_families(llm_url: str) -> Sequence[Metric]:
    """With one lease held and all network devices shown."""
    with tempfile.TemporaryDirectory() as folder:
        settings, _ = load(
            ["--llm-url", llm_url, "--data-dir", folder, "--network-ignore", "(?!)"],
            environ={},
            collectors=COLLECTORS,
        )
        exporter = create_app(settings)
        exporter.start()
        ask(exporter, "POST", "/lock", b'{"owner": "contract", "ttl_seconds": 60}')
        return list(text_string_to_metric_families(full_page(exporter)))


def full_page(exporter: Exporter) -> str:
    """The server's processes are looked up beside the page, so the first one may lack them."""
    end = time.monotonic() + PATIENCE
    while "dpl_llm_process_" not in (page := ask(exporter, "GET", "/metrics").decode()):
        assert time.monotonic() < end, "the exporter does not find its model server's processes"
        time.sleep(0.1)
    return page


def golden_metrics() -> Labels:
    """What this machine may lack, as the golden pages of exporters on other platforms have it."""
    found: Labels = {}
    for families in golden_pages().values():
        for name, labels in labels_of(families).items():
            found[name] = found.get(name, frozenset()) | labels
    return found


def golden_pages() -> Mapping[str, Sequence[Metric]]:
    """Platform or LLM server -> the page of an exporter there; values that vary are 0."""
    pages = {file.stem: file.read_text("utf-8") for file in sorted(GOLDEN.glob("*.prom"))}
    return {
        name: list(text_string_to_metric_families(re.sub(r"(?m) ~$", " 0", page)))
        for name, page in pages.items()
    }


def ask(exporter: Exporter, method: str, path: str, body: bytes = b"") -> bytes:
    """One call through the exporter's WSGI face. Raises: AssertionError where it refuses."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    setup_testing_defaults(environ)
    statuses: list[str] = []
    answer = b"".join(exporter.web(environ, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type]

    assert statuses == ["200 OK"], answer
    return answer
