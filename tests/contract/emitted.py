"""What the two programs emit, read from a page of each: name of a series -> its labels."""

import io
import re
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import WSGIEnvironment
from wsgiref.util import setup_testing_defaults

import httpx
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from dpl_exporter.app import Exporter, create_app
from dpl_exporter.collectors import COLLECTORS
from dpl_exporter.settings import load
from dpl_router.metrics import RouterMetrics
from dpl_router.scheduling.types import Reason, Rejection
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
    """Of a router that has seen everything once."""
    registry = CollectorRegistry()
    metrics = RouterMetrics(registry)
    metrics.know_models(["m"])
    metrics.show_identities([])
    metrics.node("n").reloads["cold"].inc()
    handle = metrics.model("m")
    handle.decisions[Reason.WARM].inc()
    handle.rejections[Rejection.FULL].inc()
    handle.retries["connect"].inc()
    metrics.show_book({("n", "m"): 1}, circuits={"n": 0}, queues={"m": (0, 1)})
    metrics.view.query_seconds.labels("facts").observe(0.01)
    return labels_of(registry.collect())


def exporter_metrics() -> Labels:
    """Of exporters beside a llama.cpp and an Ollama, and of those on other platforms."""
    with FakeOpenAi() as llamacpp, FakeOllama() as ollama:
        loaded = httpx.post(f"{ollama.url}/api/generate", json={"model": "smollm2:135m"})
        loaded.raise_for_status()
        found = [golden_metrics(), page_metrics(llamacpp.url), page_metrics(ollama.url)]
    return {
        name: frozenset().union(*(labels.get(name, ()) for labels in found))
        for name in {name for labels in found for name in labels}
    }


def page_metrics(llm_url: str) -> Labels:
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
        return labels_of(text_string_to_metric_families(full_page(exporter)))


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
    for file in GOLDEN.glob("*.prom"):
        page = re.sub(r" ~$", " 0", file.read_text("utf-8"), flags=re.MULTILINE)
        for name, labels in labels_of(text_string_to_metric_families(page)).items():
            found[name] = found.get(name, frozenset()) | labels
    return found


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
