"""What each kind of LLM server tells, from what real ones said."""

import json

import pytest

from tests.exporter.probe import Probe, loaded
from tests.exporter.values import Values, by, labels, only
from tests.fakes.llm_status import (
    LMSTUDIO_OTHERWISE,
    Said,
    llamacpp_answers,
    lmstudio_answers,
    ollama_answers,
    recorded,
    say,
    status_server,
)

SAME_WEIGHTS = {"smollm2:135m", "smol-tools:latest", "smol-think:latest", "smol-insert:latest"}


def test_ollama_lists_what_is_installed_with_an_explicit_zero() -> None:
    with status_server(ollama_answers()) as server:
        values = Probe(server.url).values()

    assert len(loaded(values)) == 9
    assert set(loaded(values).values()) == {0.0}
    assert values["dpl_llm_info"] == {
        labels(backend="ollama", version="0.32.15", api="ollama"): 1.0
    }
    info = {dict(key)["model"]: dict(key) for key in values["dpl_llm_model_info"]}
    assert info["smol-tools:latest"] == {
        "backend": "ollama",
        "model": "smol-tools:latest",
        "family": "llama",
        "parameter_size": "134.52M",
        "quantization": "Q4_1",
        "digest": "0d3b8bdea143",
        "weights": "941f309b54ca",
    }
    assert info["tiny-bert:latest"]["quantization"] == "", "`unknown` is no quantisation"
    assert by(values, "dpl_llm_model_size_bytes", "model")["smol-tools:latest"] == 98363045.0
    assert by(values, "dpl_llm_model_context_max_tokens", "model")["smollm2:135m"] == 8192.0
    for absent in ("requests_running", "requests_waiting", "model_memory_bytes"):
        assert f"dpl_llm_{absent}" not in values


def test_ollama_every_name_whose_weights_are_loaded_is_loaded() -> None:
    """/api/ps lists one name of them alone."""
    answers = ollama_answers()
    answers["/api/ps"] = recorded("ollama/ps-same-weights.json")
    with status_server(answers) as server:
        values = Probe(server.url).values()

    on = {name for name, value in loaded(values).items() if value == 1.0}
    assert on == SAME_WEIGHTS | {"gemma3:270m", "tiny-bert:latest"}
    listed = {"smollm2:135m", "gemma3:270m", "tiny-bert:latest"}
    memory = by(values, "dpl_llm_model_memory_bytes", "model")
    assert set(memory) == listed, "the runner's memory is counted once"
    assert set(by(values, "dpl_llm_model_gpu_memory_bytes", "model")) == listed
    assert set(by(values, "dpl_llm_model_context_tokens", "model")) == on
    expires = by(values, "dpl_llm_model_expires_timestamp_seconds", "model")
    assert set(expires) == on
    assert expires["gemma3:270m"] == pytest.approx(1795631018.2, abs=0.1)


def test_ollama_an_expiry_in_the_past_is_told_and_one_in_2319_is_not() -> None:
    answers = ollama_answers()
    with status_server(answers) as server:
        probe = Probe(server.url, wall=1_895_630_000.0)
        server.answers["/api/ps"] = recorded("ollama/ps-three-models.json")
        past = probe.values()
        server.answers["/api/ps"] = recorded("ollama/ps-for-ever.json")
        for_ever = probe.values()

    assert by(past, "dpl_llm_model_expires_timestamp_seconds", "model")["gemma3:270m"] > 0
    assert loaded(for_ever)["smollm2:135m"] == 1.0
    assert "dpl_llm_model_expires_timestamp_seconds" not in for_ever


def test_ollama_is_asked_for_weights_once_per_digest() -> None:
    with status_server(ollama_answers()) as server:
        probe = Probe(server.url)
        for _ in range(3):
            probe.values()
        asked = [path for path in server.asked if path == "/api/show smollm2:135m"]

    assert len(asked) == 1


def test_ollama_is_not_asked_at_each_page_for_what_it_cannot_show() -> None:
    with status_server(ollama_answers()) as server:
        path = "/api/show smollm2:135m"
        shown, server.answers[path] = server.answers[path], say({"error": "broken file"}, 500)
        probe = Probe(server.url)
        probe.values()
        unknown = probe.values()
        server.answers[path] = shown
        probe.wall += 301.0
        known = probe.values()
        asked = server.asked.count(path)

    def weights(values: Values) -> str:
        info = {dict(key)["model"]: dict(key) for key in values["dpl_llm_model_info"]}
        return info["smollm2:135m"]["weights"]

    assert (weights(unknown), weights(known)) == ("", "941f309b54ca")
    assert asked == 2


def test_ollama_a_digest_that_is_gone_is_forgotten() -> None:
    """A machine on which models are tried for a year would remember them all."""
    with status_server(ollama_answers()) as server:
        probe = Probe(server.url)
        tags = server.answers["/api/tags"]
        for now in (tags, say({"models": []}), tags):
            server.answers["/api/tags"] = now
            probe.values()
        asked = [path for path in server.asked if path == "/api/show smollm2:135m"]

    assert len(asked) == 2


def test_ollama_loads_and_unloads_that_are_seen_are_counted_from_zero() -> None:
    with status_server(ollama_answers()) as server:
        probe = Probe(server.url)
        server.answers["/api/ps"] = recorded("ollama/ps-three-models.json")
        first = probe.values()
        for ps in ("empty", "three-models", "three-models", "empty"):
            server.answers["/api/ps"] = recorded(f"ollama/ps-{ps}.json")
            values = probe.values()

    assert set(by(first, "dpl_llm_model_loads_total", "model").values()) == {0.0}
    assert set(by(first, "dpl_llm_model_unloads_total", "model").values()) == {0.0}
    assert by(values, "dpl_llm_model_loads_total", "model")["gemma3:270m"] == 1.0
    assert by(values, "dpl_llm_model_unloads_total", "model")["gemma3:270m"] == 2.0
    assert sum(by(values, "dpl_llm_model_loads_total", "model").values()) == 3.0, (
        "names of the same weights are one load"
    )


def test_ollama_a_deleted_model_vanishes_and_a_cloud_model_is_not_on_this_node() -> None:
    answers = ollama_answers()
    answers["/api/tags"] = say(
        {
            "models": [
                {"name": "here:1", "digest": "a" * 64, "size": 5},
                {"name": "cloud:1", "digest": "b" * 64, "remote_host": "https://elsewhere"},
            ]
        }
    )
    with status_server(answers) as server:
        probe = Probe(server.url)
        before = loaded(probe.values())
        server.answers["/api/tags"] = say({"models": []})
        after = probe.values()

    assert before == {"here:1": 0.0}
    assert loaded(after) == {}


@pytest.mark.parametrize(
    ("environment", "slots"),
    [
        ({}, 1),
        ({"OLLAMA_NUM_PARALLEL": "3"}, 3),
        ({"OLLAMA_NUM_PARALLEL": "0"}, 1),
        ({"OLLAMA_NUM_PARALLEL": "²"}, 1),
    ],
)
def test_ollama_has_one_slot_unless_it_was_told_otherwise(
    environment: dict[str, str], slots: int
) -> None:
    with status_server(ollama_answers()) as server:
        probe = Probe(server.url, environment=environment)
        unknown = probe.slots.value()
        probe.values()

    assert unknown == 4
    assert probe.slots.value() == slots


def test_llamacpp_tells_slots_context_and_requests() -> None:
    with status_server(llamacpp_answers()) as server:
        probe = Probe(server.url)
        values = probe.values()

    series = labels(backend="llamacpp", model="tiny-random")
    assert probe.slots.value() == 2
    assert loaded(values) == {"tiny-random": 1.0}
    assert values["dpl_llm_requests_running"] == {series: 1.0}
    assert values["dpl_llm_requests_waiting"] == {series: 0.0}
    assert values["dpl_llm_model_context_tokens"] == {series: 256.0}
    assert values["dpl_llm_model_context_max_tokens"] == {series: 512.0}
    assert values["dpl_llm_model_size_bytes"] == {series: 26060544.0}
    (info,) = values["dpl_llm_model_info"]
    assert (dict(info)["parameter_size"], dict(info)["quantization"]) == ("6.52M", "all F32")
    assert values["dpl_llm_info"] == {
        labels(backend="llamacpp", version="b0-unknown", api="openai"): 1.0
    }
    assert probe.collector.name == "llm_llamacpp"


def test_llamacpp_without_metrics_counts_its_busy_slots() -> None:
    answers = llamacpp_answers()
    answers["/metrics"] = say({"error": {"code": 501, "message": "not enabled"}}, 501)
    with status_server(answers) as server:
        values = Probe(server.url).values()

    assert only(values, "dpl_llm_requests_running") == 1.0
    assert "dpl_llm_requests_waiting" not in values, "unknown is absent, not zero"


def test_llamacpp_without_metrics_and_slots_tells_no_requests() -> None:
    answers = llamacpp_answers()
    props = json.loads(answers["/props"].body) | {
        "endpoint_slots": False,
        "endpoint_metrics": False,
    }
    answers["/props"] = say(props)
    with status_server(answers) as server:
        values = Probe(server.url).values()
        asked = set(server.asked)

    assert "dpl_llm_requests_running" not in values
    assert loaded(values) == {"tiny-random": 1.0}
    assert not asked & {"/slots", "/metrics"}, "what is switched off is not asked for"


def test_llamacpp_behind_a_key_still_tells_its_models() -> None:
    answers = llamacpp_answers()
    for path in ("/props", "/slots", "/metrics"):
        answers[path] = say({"error": {"code": 401, "message": "Invalid API Key"}}, 401)
    with status_server(answers) as server:
        probe = Probe(server.url)
        values = probe.values()

    assert loaded(values) == {"tiny-random": 1.0}
    assert probe.slots.value() == 4


def test_llamacpp_that_is_silent_in_a_long_prefill_is_no_failure() -> None:
    """Its decoding loop answers /metrics between two batches only."""
    with status_server(llamacpp_answers()) as server:
        probe = Probe(server.url, budget=0.5)
        probe.values()
        server.answers["/metrics"] = Said(b"", after=5.0)
        kept = probe.values()
        probe.ahead = 31.0
        too_old = probe.values()

    assert only(kept, "dpl_llm_up") == 1.0
    assert only(kept, "dpl_llm_requests_running") == 1.0
    assert "dpl_llm_requests_running" not in too_old
    assert loaded(too_old) == {"tiny-random": 1.0}


def test_llamacpp_that_loads_is_not_up() -> None:
    loading = say({"error": {"message": "Loading model", "code": 503}}, 503)
    with status_server(dict.fromkeys(llamacpp_answers(), loading)) as server:
        values = Probe(server.url).failed()

    assert values["dpl_llm_up"] == {labels(backend="unknown"): 0.0}


def test_what_a_server_of_an_openai_kind_lists_is_loaded() -> None:
    with status_server({"/v1/models": say({"data": [{"id": "a"}, {"id": "b"}, {}]})}) as server:
        values = Probe(server.url).values()

    assert loaded(values) == {"a": 1.0, "b": 1.0}


def test_lmstudio_tells_what_is_loaded_of_what_it_lists() -> None:
    with status_server(lmstudio_answers(), otherwise=LMSTUDIO_OTHERWISE) as server:
        values = Probe(server.url).values()

    assert loaded(values) == {"chat-12b": 1.0, "vision-8b": 0.0}
    assert by(values, "dpl_llm_model_context_tokens", "model") == {"chat-12b": 4096.0}


def test_an_old_lmstudio_without_its_own_api_lists_what_is_loaded() -> None:
    answers = {"/v1/models": lmstudio_answers()["/v1/models"]}
    with status_server(answers, otherwise=LMSTUDIO_OTHERWISE) as server:
        values = Probe(server.url, kind="lmstudio").values()

    assert loaded(values) == {"chat-12b": 1.0, "vision-8b": 1.0}
