"""Our histograms under OpenTelemetry's names, for those who ask for them."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from dpl_router.metrics import RouterMetrics
from dpl_router.otel_names import OtelNames
from dpl_router.tallies import Page
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.programs import ROOT
from tests.fakes.router import Node, Running, running_router, write_nodes

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
WORDS = 20
OPERATION, PROVIDER = "gen_ai_operation_name", "gen_ai_provider_name"
MODEL, TOKEN_TYPE = "gen_ai_request_model", "gen_ai_token_type"
DURATION = "gen_ai_server_request_duration_seconds"
DOUBLING = [0.01 * 2**power for power in range(14)]
BOUNDS = {
    DURATION: DOUBLING,
    "gen_ai_server_time_to_first_token_seconds": [
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    ],
    "gen_ai_server_time_per_output_token_seconds": [
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
    ],
    "gen_ai_client_operation_time_per_output_chunk_seconds": DOUBLING,
    "gen_ai_client_token_usage": [
        *(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144),
        *(1048576, 4194304, 16777216, 67108864),
    ],
}
"""As the conventions write them."""
OURS = {
    DURATION: "dpl_router_request_duration_seconds",
    "gen_ai_server_time_to_first_token_seconds": "dpl_router_time_to_first_token_seconds",
    "gen_ai_server_time_per_output_token_seconds": "dpl_router_time_per_output_token_seconds",
    "gen_ai_client_operation_time_per_output_chunk_seconds": (
        "dpl_router_inter_token_latency_seconds"
    ),
}

Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def read(page: str) -> Series:
    """Labels that are empty are none, as to Prometheus."""
    return {
        (sample.name, frozenset(label for label in sample.labels.items() if label[1])): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def page_of(router: Running) -> str:
    async with router.client() as client:
        return (await client.get("/metrics")).text


async def told(router: Running) -> Series:
    return read(await page_of(router))


async def ask(router: Running, path: str, body: Mapping[str, object]) -> int:
    async with router.client() as client:
        return (await client.post(path, json=body)).status_code


def theirs(name: str, operation: str, model: str = "tiny", **more: str) -> Any:
    labels = {OPERATION: operation, PROVIDER: "dpl", MODEL: model, **more}
    return name, frozenset(labels.items())


async def test_nobody_who_did_not_ask_gets_their_names(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            await ask(router, "/v1/chat/completions", CHAT)
            page = await page_of(router)

    assert "dpl_router_request_duration_seconds_count" in page
    assert "gen_ai" not in page


async def test_a_stream_is_told_under_both_names_alike(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=["word "] * WORDS) as node:
        node.faults = Faults(token_delay=0.01)
        async with running_router({"a": node.url}, folder=tmp_path, otel_names=True) as router:
            asked = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
            await ask(router, "/v1/chat/completions", asked)
            series = await told(router)

    for name, own in OURS.items():
        for end in ("_count", "_sum"):
            ours = series[own + end, frozenset({("model", "tiny")})]
            assert series[theirs(name + end, "chat")] == ours > 0, name
    usage = "gen_ai_client_token_usage_sum"
    assert series[theirs(usage, "chat", **{TOKEN_TYPE: "output"})] == WORDS
    assert series[theirs(usage, "chat", **{TOKEN_TYPE: "input"})] > 0


async def test_the_buckets_are_those_of_the_conventions(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path, otel_names=True) as router:
            await ask(router, "/v1/chat/completions", CHAT)
            series = await told(router)

    for name, bounds in BOUNDS.items():
        found = {
            float(dict(labels)["le"])
            for series_name, labels in series
            if series_name == f"{name}_bucket"
        }
        assert sorted(found) == pytest.approx([*bounds, float("inf")]), name


PROMPT = {"model": "smollm2:135m", "prompt": "hello"}


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        ("/v1/chat/completions", {**CHAT, "model": "smollm2:135m"}, "chat"),
        ("/api/chat", {**CHAT, "model": "smollm2:135m"}, "chat"),
        ("/v1/completions", PROMPT, "text_completion"),
        ("/api/generate", PROMPT, "text_completion"),
        ("/v1/embeddings", {"model": "all-minilm:22m", "input": "hello"}, "embeddings"),
        ("/v1/responses", {"model": "smollm2:135m", "input": "hello"}, "passthrough"),
    ],
)
async def test_the_operation_is_what_the_client_asked_for(
    tmp_path: Path, path: str, body: Mapping[str, object], operation: str
) -> None:
    with FakeOllama() as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "kind": "ollama"}}
        async with running_router(nodes, folder=tmp_path, otel_names=True) as router:
            await ask(router, path, body)
            series = await told(router)

    operations = {dict(labels)[OPERATION] for name, labels in series if name == f"{DURATION}_count"}
    assert operations == {operation}


async def test_an_error_has_its_word_and_a_success_has_none(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path, otel_names=True) as router:
            await ask(router, "/v1/chat/completions", CHAT)
            node.faults = Faults(status=500)
            failed = await ask(router, "/v1/chat/completions", CHAT)
            series = await told(router)

    assert failed >= 500
    assert series[theirs(f"{DURATION}_count", "chat")] == 1
    assert series[theirs(f"{DURATION}_count", "chat", error_type="upstream_error")] == 1
    assert series["dpl_router_request_duration_seconds_count", frozenset({("model", "tiny")})] == 2


async def test_a_name_that_a_client_made_up_is_other_here_too(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path, otel_names=True) as router:
            for number in range(3):
                body = {**CHAT, "model": f"made-up-{number}"}
                await ask(router, "/v1/chat/completions", body)
            page = await page_of(router)

    assert "made-up" not in page
    found = {dict(labels)[MODEL] for name, labels in read(page) if name == f"{DURATION}_count"}
    assert found == {"other"}


def test_only_the_ten_models_with_histograms_have_these() -> None:
    registry = CollectorRegistry()
    metrics = RouterMetrics(registry, OtelNames(Page(registry)))
    metrics.know_models(f"m{number}" for number in range(12))
    for number in range(12):
        metrics.model(f"m{number}").durations["ok"].observe(1.0)

    series = read(metrics.render("text/plain")[1].decode())

    found = {
        dict(labels)[MODEL]: value
        for (name, labels), value in series.items()
        if name == f"{DURATION}_count"
    }
    assert found == {**{f"m{number}": 1 for number in range(10)}, "other": 2}


def test_the_alert_on_large_pages_allows_for_them() -> None:
    rules = (ROOT / "prometheus/rules/dpl-meta.rules.yml").read_text("utf-8")
    allowed = re.search(rf"(\d+) \* \(count by \(instance\) \({DURATION}_count\)", rules)
    assert allowed is not None
    registry = CollectorRegistry()
    metrics = RouterMetrics(CollectorRegistry(), OtelNames(Page(registry)))
    metrics.know_models(["m"])
    metrics.model("m")

    def size() -> int:
        return sum(len(family.samples) for family in registry.collect())

    each = size()
    metrics.model("m").durations["timeout"]

    assert each == int(allowed[1])
    assert size() <= 2 * each


@pytest.mark.parametrize(
    ("flags", "environment", "asked"),
    [
        (["--metrics.otel-names"], {}, True),
        ([], {"DPL_METRICS_OTEL_NAMES": "1"}, True),
        ([], {}, False),
    ],
)
def test_dpl_serve_tells_them_where_it_is_asked_to(
    tmp_path: Path, flags: Sequence[str], environment: Mapping[str, str], asked: bool
) -> None:
    write_nodes(tmp_path / "nodes.yaml", {"a": "http://127.0.0.1:9"}, {})
    where = ["--listen", "127.0.0.1:0", "--nodes", str(tmp_path / "nodes.yaml")]
    command = [sys.executable, "-m", "dpl_router", "serve", *where, *flags]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DPL_")}
    process = subprocess.Popen(
        [*command, "--data-dir", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**clean, **environment},
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    assert process.stdout is not None
    with process.stdout:
        try:
            said = next(line for line in process.stdout if "listening on" in line)
            url = said.split()[-1]
            page = httpx.get(f"{url}/metrics", timeout=20, trust_env=False).text
        finally:
            process.terminate()
            process.wait(20)
            watchdog.cancel()

    assert (f"# TYPE {DURATION} histogram" in page) is asked
