"""Health, metrics, discovery and the small door to Prometheus."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpl_router.diagnostics.promql import instant_parameters, range_parameters
from dpl_router.errors import BadRequest
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, running_router
from tests.fakes.wire import Peer, served

DEAD = "http://127.0.0.1:9"


async def test_open_doors_are_open_and_say_what_is(tmp_path: Path) -> None:
    async with running_router({"a": DEAD}, folder=tmp_path) as router:
        async with router.client() as client:
            answers = {
                path: (await client.get(path)).status_code
                for path in ("/-/healthy", "/-/ready", "/healthz", "/readyz")
            }
            router.parts.dispatcher.draining = True
            draining = await client.get("/-/ready")
            refused = await client.post(
                "/v1/chat/completions", json={"messages": [{"role": "user"}]}
            )

    assert set(answers.values()) == {200}
    assert draining.status_code == 503
    assert refused.status_code == 503
    assert "retry-after" in refused.headers


@pytest.mark.parametrize("path", ["/-/healthy", "/healthz", "/-/ready", "/readyz", "/metrics"])
async def test_who_asks_for_the_head_alone_gets_it(tmp_path: Path, path: str) -> None:
    """As `wget --spider` and HAProxy's checks do."""
    async with running_router({"a": DEAD}, folder=tmp_path) as router:
        async with router.client() as client:
            whole, head = await client.get(path), await client.head(path)
            router.parts.dispatcher.draining = True
            draining = await client.head("/-/ready")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert draining.status_code == 503


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openm")],
)
async def test_metrics_come_in_the_form_that_was_asked_for(
    tmp_path: Path, accept: str, content_type: str
) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.get("/metrics", headers={"accept": accept})

    assert answer.headers["content-type"].startswith(content_type)
    assert 'dpl_router_circuit_state{node="a"} 0.0' in answer.text


async def test_a_form_that_is_no_longer_spoken_does_not_stand_for_another(tmp_path: Path) -> None:
    """Both within the second for which a page is kept."""
    old = "application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5"
    new = "application/openmetrics-text;version=1.0.0"
    async with running_router({"a": DEAD}, folder=tmp_path) as router:
        async with router.client() as client:
            types = [
                (await client.get("/metrics", headers={"accept": accept})).headers["content-type"]
                for accept in (old, new, "application/openmetrics-text; version=abc")
            ]

    assert [kind.partition(";")[0] for kind in types] == [
        "text/plain",
        "application/openmetrics-text",
        "text/plain",
    ]


async def test_prometheus_finds_the_exporters_and_an_unknown_job_is_a_404(tmp_path: Path) -> None:
    nodes: dict[str, Node] = {"a": {"url": DEAD, "exporter": "http://127.0.0.1:8001"}, "b": DEAD}
    async with running_router(nodes, folder=tmp_path) as router:
        async with router.client() as client:
            found = await client.get("/sd/prometheus/dpl-exporter")
            later = await client.get("/sd/prometheus/dcgm")
            unknown = await client.get("/sd/prometheus/nothing")

    assert found.json() == [
        {"targets": ["127.0.0.1:8001"], "labels": {"node": "a", "instance": "a:8001"}}
    ]
    assert later.json() == []
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("parse", "given", "place"),
    [
        (instant_parameters, [], "query"),
        (instant_parameters, [("query", " ")], "query"),
        (instant_parameters, [("query", "x" * 5000)], "query"),
        (instant_parameters, [("query", "up"), ("query", "up")], "query"),
        (instant_parameters, [("query", "up"), ("time", "yesterday")], "time"),
        (instant_parameters, [("query", "up"), ("time", "nan")], "time"),
        (instant_parameters, [("query", "up"), ("timeout", "1h")], "timeout"),
        (range_parameters, [("query", "up"), ("start", "0"), ("end", "1")], "step"),
        (range_parameters, [("query", "up"), ("start", "9"), ("end", "1"), ("step", "1")], "end"),
        (range_parameters, [("query", "up"), ("start", "0"), ("end", "1"), ("step", "0")], "step"),
        (range_parameters, [("query", "up"), ("start", "0"), ("end", "1"), ("step", "x")], "step"),
        (
            range_parameters,
            [("query", "up"), ("start", "0"), ("end", "11001"), ("step", "1")],
            "step",
        ),
        (
            range_parameters,
            [("query", "up"), ("start", "0"), ("end", "9999999"), ("step", "1d")],
            "start",
        ),
    ],
)
def test_what_the_door_does_not_let_through_names_its_parameter(
    parse: Callable[[Any], Any], given: list[tuple[str, str]], place: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(given)

    assert caught.value.param == place


def test_parameters_are_parsed_and_written_anew() -> None:
    given = [
        ("query", 'up{node="a"}'),
        ("start", "2026-11-25T00:00:00Z"),
        ("end", "1764032460"),
        ("step", "1m30s"),
    ]

    rebuilt = range_parameters([*given[:1], ("start", "1764032400"), *given[2:]])

    assert rebuilt == {
        "query": 'up{node="a"}',
        "start": "1764032400.0",
        "end": "1764032460.0",
        "step": "90.0",
    }


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("2026-11-25T00:00:00", 1795564800.0), ("2026-11-25T01:00:00+01:00", 1795564800.0)],
)
def test_a_time_without_a_zone_is_utc(written: str, seconds: float) -> None:
    assert instant_parameters([("query", "up"), ("time", written)])["time"] == repr(seconds)


@pytest.mark.parametrize(
    ("theirs", "ours", "outcome"),
    [
        (200, 200, "ok"),
        (400, 400, "client_error"),
        (422, 422, "client_error"),
        (401, 503, "upstream_error"),
        (503, 503, "upstream_error"),
        (302, 503, "upstream_error"),
    ],
)
async def test_only_what_the_caller_did_wrong_is_the_callers_error(
    tmp_path: Path, theirs: int, ours: int, outcome: str
) -> None:
    """Prometheus's 401 means our credentials: passed on, it would ask the caller for theirs."""
    said = json.dumps({"status": "error", "error": "the words of Prometheus"}).encode()
    answer = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (theirs, len(said), said)

    async def prometheus(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(answer)

    async with served(prometheus) as url:
        async with running_router({"a": DEAD}, folder=tmp_path, prometheus_url=url) as router:
            async with router.client() as client:
                seen = await client.get("/api/prometheus/query?query=up")
            counted = await router.metric(
                f'dpl_router_promql_proxy_requests_total{{outcome="{outcome}"}}'
            )

    assert seen.status_code == ours
    assert "the words of Prometheus" in seen.text
    assert counted == 1


async def test_without_prometheus_the_door_says_so(tmp_path: Path) -> None:
    async with running_router({"a": DEAD}, folder=tmp_path) as router:
        async with router.client() as client:
            answer = await client.get("/api/prometheus/query?query=up")

    assert answer.status_code == 503
    assert "--prometheus-url" in answer.json()["detail"]


async def test_the_dead_mans_call_is_remembered(tmp_path: Path) -> None:
    async with running_router({"a": DEAD}, folder=tmp_path) as router:
        before = await router.metric("dpl_router_watchdog_last_received_timestamp_seconds")
        async with router.client() as client:
            answer = await client.post("/alertmanager/heartbeat", json={"alerts": []})
        after = await router.metric("dpl_router_watchdog_last_received_timestamp_seconds")

    assert answer.status_code == 204
    assert before == 0
    assert after > 0
