"""Servers that list too much, one thing twice, or what can't be true."""

import json
from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from dpl_exporter.collectors.answers import number, whole
from tests.exporter.probe import Probe, loaded
from tests.exporter.values import by
from tests.fakes.llm_status import (
    LMSTUDIO_OTHERWISE,
    Said,
    llamacpp_answers,
    lmstudio_answers,
    ollama_answers,
    say,
    status_server,
    vllm_answers,
)


def tag(name: str, digest: str = "a", **more: object) -> dict[str, object]:
    return {"name": name, "digest": digest * 64, "size": 1, **more}


def gauges(models: int) -> Said:
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
    lines = [f'{name}{{model_name="m{i}"}} 1\n' for i in range(models) for name in names]
    return Said("".join(lines).encode(), content_type="text/plain")


def test_vllm_that_hides_its_list_does_not_burst_the_page() -> None:
    answers = vllm_answers() | {"/v1/models": say({}, 401), "/metrics": gauges(4000)}
    with status_server(answers) as server:
        values = Probe(server.url, kind="vllm").values()

    assert len(loaded(values)) == 100
    assert sum(map(len, values.values())) < 700


@pytest.mark.parametrize(
    ("kind", "make", "listed"),
    [
        ("vllm", vllm_answers, {"/v1/models": {"data": [{"id": "m"}, {"id": "m"}, {"id": "n"}]}}),
        ("llamacpp", llamacpp_answers, {"/v1/models": {"data": [{"id": "m"}, {"id": "m"}]}}),
        ("ollama", ollama_answers, {"/api/tags": {"models": [tag("m"), tag("m")]}}),
        ("ollama", ollama_answers, {"/api/tags": {"models": [tag("m\n"), tag("m\r"), tag("m?")]}}),
        ("ollama", ollama_answers, {"/api/tags": {"models": [tag("m" * 500), tag("m" * 501)]}}),
        (
            "lmstudio",
            lmstudio_answers,
            {"/api/v0/models": {"data": [{"id": "m", "state": "not-loaded"}, {"id": "m"}]}},
        ),
    ],
)
def test_a_name_has_one_series_however_often_it_is_listed(
    kind: str, make: Callable[[], Mapping[str, Said]], listed: Mapping[str, object]
) -> None:
    answers = dict(make()) | {path: say(said) for path, said in listed.items()}
    with status_server(answers, otherwise=LMSTUDIO_OTHERWISE) as server:
        families = list(Probe(server.url, kind=kind).collector.collect())

    series = Counter(
        (sample.name, *sorted(sample.labels.items()))
        for family in families
        for sample in family.samples
    )
    assert max(series.values()) == 1


def test_of_two_with_one_name_the_loaded_one_is_told() -> None:
    rows = [{"id": "m", "state": state} for state in ("not-loaded", "loaded", "not-loaded")]
    answers = lmstudio_answers() | {"/api/v0/models": say({"data": rows})}
    with status_server(answers, otherwise=LMSTUDIO_OTHERWISE) as server:
        assert loaded(Probe(server.url, kind="lmstudio").values()) == {"m": 1.0}


def test_loads_are_not_counted_anew_when_the_list_changes_its_order_or_is_empty_once() -> None:
    tags = [tag(f"m{i:03}") | {"digest": f"{i:064}"} for i in range(160)]
    last, others = tags[-1], tags[:-1]
    on, off = say({"models": [last]}), say({"models": []})
    with status_server(ollama_answers(), otherwise=say({"error": "no"}, 404)) as server:
        probe = Probe(server.url, kind="ollama")
        counts = []
        for listed, running in (
            ([*others, last], off),
            ([*others, last], on),
            ([], on),
            ([last, *others], on),
            ([*others, last], on),
        ):
            server.answers |= {"/api/tags": say({"models": listed}), "/api/ps": running}
            told = by(probe.values(), "dpl_llm_model_loads_total", "model") if listed else {}
            counts.append((len(told), told.get("m159")))

    assert counts == [(100, None), (100, 1.0), (0, None), (100, 1.0), (100, 1.0)]


@pytest.mark.parametrize("value", [-1, -5.0, 1e308, 2**53 + 2, 10**400])
def test_what_cannot_be_true_is_absent(value: float) -> None:
    assert (number({"n": value}, "n"), whole({"n": value}, "n")) == (None, None)
    one = tag("m") | {"size": value}
    running = tag("m") | {"size": value, "size_vram": value, "context_length": value}
    answers = ollama_answers() | {
        "/api/tags": Said(json.dumps({"models": [one]}).encode()),
        "/api/ps": Said(json.dumps({"models": [running]}).encode()),
    }
    with status_server(answers, otherwise=say({"error": "no"}, 404)) as server:
        values = Probe(server.url, kind="ollama").values()

    assert loaded(values) == {"m": 1.0}
    for absent in ("size_bytes", "memory_bytes", "gpu_memory_bytes", "context_tokens"):
        assert f"dpl_llm_model_{absent}" not in values


@pytest.mark.parametrize("number", ["1e308", "9e15"])
def test_a_sum_of_engines_that_cannot_be_true_is_absent(number: str) -> None:
    lines = [f'vllm:num_requests_running{{model_name="m",engine="{e}"}} {number}\n' for e in "01"]
    answers = vllm_answers() | {
        "/v1/models": say({"data": [{"id": "m"}]}),
        "/metrics": Said("".join(lines).encode(), content_type="text/plain"),
    }
    with status_server(answers) as server:
        values = Probe(server.url, kind="vllm").values()

    assert "dpl_llm_requests_running" not in values
