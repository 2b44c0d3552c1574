"""What the two programs emit, read from a page of each: name of a series -> its labels."""

import io
import tempfile
from collections.abc import Iterable
from wsgiref.types import WSGIEnvironment
from wsgiref.util import setup_testing_defaults

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from dpl_exporter.app import Exporter, create_app
from dpl_exporter.collectors import COLLECTORS
from dpl_exporter.settings import load
from dpl_router.metrics import RouterMetrics
from dpl_router.scheduling.types import Reason, Rejection
from tests.fakes.openai import FakeOpenAi

Labels = dict[str, frozenset[str]]


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
    handle = metrics.model("m")
    handle.decisions[Reason.WARM].inc()
    handle.rejections[Rejection.FULL].inc()
    handle.retries["connect"].inc()
    metrics.show_book({("n", "m"): 1}, circuits={"n": 0}, queues={"m": (0, 1)})
    metrics.view.query_seconds.labels("facts").observe(0.01)
    return labels_of(registry.collect())


def exporter_metrics() -> Labels:
    """Of an exporter beside a llama.cpp, with one lease held and all network devices shown."""
    with FakeOpenAi() as llm, tempfile.TemporaryDirectory() as folder:
        settings, _ = load(
            ["--llm-url", llm.url, "--data-dir", folder, "--network-ignore", "(?!)"],
            environ={},
            collectors=COLLECTORS,
        )
        exporter = create_app(settings)
        exporter.start()
        ask(exporter, "POST", "/lock", b'{"owner": "contract", "ttl_seconds": 60}')
        page = ask(exporter, "GET", "/metrics").decode()
    return labels_of(text_string_to_metric_families(page))


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
