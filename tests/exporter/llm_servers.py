"""LLM servers to run a real exporter beside: each is the answers of a fake, made of recordings."""

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from dpl_exporter.app import Exporter, create_app
from dpl_exporter.collectors import COLLECTORS
from dpl_exporter.settings import load
from tests.contract.emitted import ask
from tests.exporter.values import by, values_of
from tests.fakes.llm_status import (
    LMSTUDIO_OTHERWISE,
    Said,
    llamacpp_answers,
    lmstudio_answers,
    ollama_answers,
    recorded,
    sglang_answers,
    status_server,
    vllm_answers,
)

SERVERS: Mapping[str, Callable[[], dict[str, Said]]] = {
    "llm-ollama": ollama_answers,
    "llm-llamacpp": llamacpp_answers,
    "llm-vllm": vllm_answers,
    "llm-sglang": sglang_answers,
    "llm-lmstudio": lmstudio_answers,
}
LATER: Mapping[str, Mapping[str, Said]] = {
    "llm-ollama": {"/api/ps": recorded("ollama/ps-same-weights.json")},
}
"""What the server says from the second page on: models that were loaded are counted."""
COLLECTED = ("llm", "lease")
PATIENCE = 20.0


def scrape_beside(server: str) -> str:
    """The second page of an exporter that looks at that server and at nothing else."""
    with status_server(SERVERS[server](), otherwise=LMSTUDIO_OTHERWISE) as fake:
        with tempfile.TemporaryDirectory() as folder:
            exporter = exporter_beside(fake.url, Path(folder))
            ask(exporter, "POST", "/lock", b'{"owner": "golden", "ttl_seconds": 300}')
            fake.answers.update(LATER.get(server, {}))
            return whole_page(exporter)


def exporter_beside(url: str, folder: Path, *flags: str) -> Exporter:
    """It has seen one page, and knows the server's processes: ours."""
    others = [f"--no-collector.{name}" for name in COLLECTORS if name not in COLLECTED]
    arguments = ["--llm-url", url, "--data-dir", str(folder), *others, *flags]
    settings, _ = load(arguments, environ={}, collectors=COLLECTORS)
    exporter = create_app(settings)
    exporter.start()
    whole_page(exporter)
    return exporter


def whole_page(exporter: Exporter) -> str:
    """On a busy machine a collector may be late, and processes are looked for beside the page."""
    end = time.monotonic() + PATIENCE
    while True:
        page = ask(exporter, "GET", "/metrics").decode()
        values = values_of(text_string_to_metric_families(page))
        fine = set(by(values, "dpl_exporter_collector_success", "collector").values()) == {1.0}
        if fine and "dpl_llm_process_" in page:
            return page
        assert time.monotonic() < end, page
        time.sleep(0.05)
