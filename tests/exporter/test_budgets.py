"""How many series a page has: 400 up to two GPUs and 20 models, beyond that so many for each."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)

from tests.contract.emitted import golden_pages
from tests.exporter.process import running
from tests.exporter.values import Values, values_of
from tests.fakes.llm_status import ollama_answers, say, status_server
from tests.fakes.nvml.gpus import H100_MIG, RTX_4090, FakeGpus
from tests.fakes.programs import find_program

USUAL = 400
WARNED = 2400
"""DplScrapeTooBig fires, before `sample_limit` (3000) makes Prometheus drop the whole page."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a budget is made of: a card that tells everything has 41 series."""

    gpus: int = 0
    instances: int = 0
    installed: int = 0
    loaded: int = 0

    @property
    def budget(self) -> int:
        each = 42 * self.gpus + 2 * self.instances + 6 * self.installed + 4 * self.loaded
        return max(USUAL, 110 + each)


def series(values: Values) -> int:
    return sum(len(one) for one in values.values())


@pytest.mark.parametrize(
    ("pages", "node"),
    [
        (["linux-cpu", "llm-ollama"], Node(installed=9, loaded=6)),
        (["nvidia-2-cards", "llm-vllm"], Node(gpus=2, installed=1, loaded=1)),
        (["nvidia-mig", "llm-sglang"], Node(gpus=1, instances=3, installed=1, loaded=1)),
        (["amd", "llm-llamacpp"], Node(gpus=1, installed=1, loaded=1)),
        (["apple", "llm-lmstudio"], Node(gpus=1, installed=2, loaded=1)),
    ],
    ids=lambda part: "+".join(part) if isinstance(part, list) else "",
)
def test_a_page_of_each_platform_keeps_to_its_budget(pages: Sequence[str], node: Node) -> None:
    golden = golden_pages()
    found = {
        (sample.name, *sorted(sample.labels.items()))
        for page in pages
        for family in golden[page]
        for sample in family.samples
    }

    assert len(found) < node.budget


def test_a_big_server_keeps_to_its_budget_and_speaks_well(tmp_path: Path) -> None:
    """Eight cards in slices and fifty models: every family is there many times."""
    slices = {f"mig{i}.instance": i for i in range(7)}
    memory = {f"mig{i}.memory": "10737418240 0 1000000" for i in range(7)}
    cards = [{**RTX_4090, **H100_MIG, **slices, **memory, "uuid": f"GPU-{i:08d}"} for i in range(8)]
    names = [f"model-{i}:latest" for i in range(50)]
    rows = [{"name": name, "digest": f"{i:064x}", "size": 1} for i, name in enumerate(names)]
    running_rows = [
        {**row, "size_vram": 1, "context_length": 1, "expires_at": "2026-11-25T18:23:36.5Z"}
        for row in rows[:6]
    ]
    answers = ollama_answers() | {
        "/api/tags": say({"models": rows}),
        "/api/ps": say({"models": running_rows}),
    }
    gpus = FakeGpus(tmp_path, *cards)
    with status_server(answers) as llm:
        flags = ("--llm-url", llm.url)
        with running(tmp_path, *flags, **gpus.environ, DPL_SYSFS=str(tmp_path)) as exporter:
            values = exporter.page()
            text = exporter.metrics()
            accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
            strict = exporter.call("GET", "/metrics", headers=accept).body.decode()

    promtool = [find_program("promtool"), "check", "metrics"]
    checked = subprocess.run(promtool, input=text, text=True, capture_output=True, timeout=30)
    node = Node(gpus=8, instances=8 * 7, installed=50, loaded=6)
    assert series(values) < node.budget < WARNED
    assert len(values["dpl_gpu_mig_memory_used_bytes"]) == 8 * 7
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    families = read_openmetrics(strict)  # type: ignore[no-untyped-call]
    assert values_of(families).keys() >= values.keys()
