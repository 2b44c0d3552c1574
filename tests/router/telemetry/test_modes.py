"""promql -> direct -> blind and back, and the same facts by both ways."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dpl_router.errors import Unavailable
from dpl_router.telemetry.direct import read_exposition
from dpl_router.telemetry.prometheus import read_facts
from dpl_router.telemetry.sample import NodeSample
from tests.exporter.process import running as exporter_of
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Running, running_router, until

PATH = "/v1/chat/completions"
BODY = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}


def vector(*series: tuple[str, dict[str, str], float], at: float = 100.0) -> bytes:
    """Prometheus's answer to an instant query."""
    result = [
        {"metric": dict(labels, __name__=name), "value": [at, str(value)]}
        for name, labels, value in series
    ]
    return json.dumps({"status": "success", "data": {"result": result}}).encode()


def test_the_age_of_a_fact_is_told_by_prometheus_own_clock() -> None:
    """A router whose clock is an hour off must not take every fact for old."""
    body = vector(("node:dpl_sample_timestamp:max", {"node": "a"}, 96.0), at=100.0)

    sample = read_facts(body, now=5000.0)["a"]

    assert sample.sampled_at == 4996.0


def test_what_is_no_number_is_no_fact() -> None:
    body = vector(
        ("node:dpl_llm_up:max", {"node": "a"}, float("nan")),
        ("node:dpl_slots:max", {"node": "a"}, float("inf")),
        ("node:dpl_eligible:bool", {}, 1.0),
        ("something_else", {"node": "a"}, 1.0),
    )

    samples = read_facts(body, now=0.0)

    assert samples.get("a", NodeSample()).up is None
    assert samples.get("a", NodeSample()).slots is None
    assert set(samples) <= {"a"}


ODD = vector(("node:dpl_llm_up:max", {"node": "NAME"}, 1.0))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"status":"error"}',
        b'{"data":{}}',
        ODD.replace(b'"1.0"', b'"abc"'),
        ODD.replace(b"NAME", b"\xff"),
        b'{"more":' * 100_000,
    ],
    ids=["nothing", "html", "list", "error", "no-data", "no-number", "no-utf-8", "deep"],
)
def test_an_answer_that_is_none_is_refused_not_believed(body: bytes) -> None:
    with pytest.raises(Unavailable):
        read_facts(body, now=0.0)


EXPOSITION = """\
dpl_llm_up{backend="llamacpp"} 1
dpl_node_time_seconds 1000.5
dpl_exporter_collector_last_success_timestamp_seconds{collector="llm_llamacpp"} 998.5
dpl_exporter_collector_last_success_timestamp_seconds{collector="cpu"} 900
dpl_node_slots 4
dpl_lock_exclusive 0
dpl_llm_model_loaded{backend="llamacpp",model="big"} 1
dpl_llm_model_loaded{backend="llamacpp",model="small"} 0
dpl_llm_requests_running{backend="llamacpp",model="big"} 3
dpl_llm_requests_waiting{backend="llamacpp",model="big"} 2
"""


def test_one_page_read_directly_says_what_the_recording_rules_say() -> None:
    """The rules' own results for this page are promtool's to prove; here they are written out."""
    recorded = read_facts(
        vector(
            ("node:dpl_sample_timestamp:max", {"node": "a"}, 100.0),
            ("node:dpl_llm_up:max", {"node": "a"}, 1),
            ("node:dpl_eligible:bool", {"node": "a"}, 1),
            ("node:dpl_accelerator:bool", {"node": "a"}, 0),
            ("node:dpl_collector_age_seconds:max", {"node": "a"}, 2),
            ("node:dpl_slots:max", {"node": "a"}, 4),
            ("dpl_lock_exclusive", {"node": "a"}, 0),
            ("node_model:dpl_llm_model_loaded:max", {"node": "a", "model": "big"}, 1),
            ("node_model:dpl_llm_model_loaded:max", {"node": "a", "model": "small"}, 0),
            ("node_model:dpl_llm_requests_running:sum", {"node": "a", "model": "big"}, 3),
            ("node_model:dpl_llm_requests_waiting:sum", {"node": "a", "model": "big"}, 2),
        ),
        now=7.0,
    )["a"]

    direct, _ = read_exposition(EXPOSITION, now=7.0)

    assert direct == recorded


def test_a_server_that_does_not_answer_is_down_and_slots_unsaid_are_four() -> None:
    sample, _ = read_exposition('dpl_llm_up{backend="unknown"} 0\n', now=1.0)

    assert sample.up is False
    assert sample.eligible is False
    assert sample.slots == 4


@pytest.mark.parametrize("value", ["1.7e308", "1e300", "-5"])
def test_a_number_beyond_reason_stays_one_that_can_be_reckoned_with(value: str) -> None:
    """Sums and products of the scheduler must end; what is below nothing is nothing."""
    series = ("big", "small")
    page = EXPOSITION.replace("slots 4", f"slots {value}") + "".join(
        f'dpl_llm_requests_running{{backend="{number}",model="{model}"}} {value}\n'
        for number in range(3)
        for model in series
    )
    direct, _ = read_exposition(page, now=1.0)
    recorded = read_facts(
        vector(
            ("node:dpl_slots:max", {"node": "a"}, float(value)),
            ("node:dpl_gpu_memory_free:bytes", {"node": "a"}, float(value)),
            ("node_model:dpl_llm_requests_running:sum", {"node": "a", "model": "m"}, float(value)),
        ),
        now=1.0,
    )["a"]

    assert 0 <= (direct.slots or 0) <= 1_000_000
    assert 0 <= (recorded.slots or 0) <= 1_000_000
    assert 0 <= (recorded.memory_free or 0) < 2**63
    for model in (*direct.models.values(), *recorded.models.values()):
        assert 0 <= (model.running or 0) <= 1_000_000


@pytest.mark.parametrize("value", [1.7e308, -1.7e308])
def test_a_sample_time_beyond_reason_makes_no_sample(value: float) -> None:
    body = vector(("node:dpl_sample_timestamp:max", {"node": "a"}, value), at=1.7e308)

    at = read_facts(body, now=1.0)["a"].sampled_at

    assert at is None or abs(at) < 1e12


def test_a_page_that_is_no_exposition_is_refused() -> None:
    with pytest.raises(Unavailable):
        read_exposition("<html>{{{", now=1.0)


@asynccontextmanager
async def router_with_an_exporter(
    tmp_path: Path, node: FakeOpenAi, **settings: Any
) -> AsyncIterator[tuple[Running, Any]]:
    home = tmp_path / "exporter"
    home.mkdir()
    with exporter_of(home, "--llm-url", node.url, "--data-dir", str(home)) as exporter:
        nodes = {"a": {"url": node.url, "exporter": exporter.url}}
        async with running_router(nodes, folder=tmp_path, **settings) as router:
            yield router, exporter


async def mode_of(router: Running) -> str:
    async with router.client() as client:
        return str((await client.get("/api/cluster/overview")).json()["mode"])


async def test_without_prometheus_the_router_reads_the_exporters_itself(tmp_path: Path) -> None:
    with FakeOpenAi(slots=3) as node:
        async with router_with_an_exporter(tmp_path, node) as (router, _):
            await until(lambda: _is(router, "direct"))
            async with router.client() as client:
                status = (await client.get("/api/status/all")).json()[0]
            shown = await router.metric(
                'dpl_router_scheduling_mode{dpl_router_scheduling_mode="direct"}'
            )

    assert status["slots"] == 3
    assert status["age"] < 5
    assert status["memory"]["total"] > 0
    assert shown == 1.0


async def test_without_any_facts_the_router_is_blind_and_serves(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with router_with_an_exporter(tmp_path, node) as (router, exporter):
            await until(lambda: _is(router, "direct"))
            exporter.process.kill()
            await until(lambda: _is(router, "blind"))
            async with router.client() as client:
                answer = await client.post(PATH, json=BODY)

    assert answer.status_code == 200


async def _is(router: Running, mode: str) -> bool:
    return await mode_of(router) == mode


class BadPrometheus:
    """Answers the same bytes to everything, or nothing at all."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self.url = ""

    async def __aenter__(self) -> "BadPrometheus":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            if self._answer is None:
                await asyncio.sleep(30)
            else:
                writer.write(self._answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b"no http at all",
        http(b"oops", "500 Internal Server Error"),
        http(b"<html>"),
        http(vector()),
        http(vector(("node:dpl_sample_timestamp:max", {"node": "a"}, float("nan")))),
        http(ODD.replace(b'"1.0"', b'"abc"')),
        http(ODD.replace(b"NAME", b"\xff")),
        http(vector(*[("node:dpl_llm_up:max", {"node": f"n{i}"}, 1.0) for i in range(60_000)])),
    ],
    ids=[
        "hung",
        "closes",
        "garbage",
        "500",
        "html",
        "empty",
        "nan",
        "no-number",
        "no-utf-8",
        "60k-series",
    ],
)
async def test_a_bad_prometheus_costs_no_chat(tmp_path: Path, answer: bytes | None) -> None:
    with FakeOpenAi() as node:
        async with BadPrometheus(answer) as prometheus:
            told = {"prometheus_url": prometheus.url}
            async with router_with_an_exporter(tmp_path, node, **told) as (router, _):
                await until(lambda: _is(router, "direct"), seconds=15)
                async with router.client() as client:
                    started = time.monotonic()
                    answers = await asyncio.gather(
                        *(client.post(PATH, json=BODY) for _ in range(10))
                    )
                    took = time.monotonic() - started

    assert [each.status_code for each in answers] == [200] * 10
    assert took < 10
