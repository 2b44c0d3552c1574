"""What engines tell on their own page of metrics: vLLM, SGLang, llama.cpp."""

from collections.abc import Mapping

import pytest

from dpl_exporter.collectors.engine_work import LLAMACPP, SGLANG, VLLM, Names, Work, read_page
from dpl_exporter.collectors.transitions import Transitions
from tests.exporter.probe import Probe, loaded
from tests.exporter.values import by, labels, only
from tests.fakes.llm_status import (
    RECORDINGS,
    Said,
    llamacpp_answers,
    recorded,
    say,
    sglang_answers,
    status_server,
    vllm_answers,
)

CLOSED = say({"error": "Unauthorized"}, 401)


def page(name: str) -> str:
    return (RECORDINGS / name).read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        (
            page("vllm/metrics-gauges-busy.txt"),
            VLLM,
            {"tiny-random": Work(4.0, 3.0, 0.0014650225857648635)},
        ),
        (
            page("vllm/metrics-gauges-two-engines.txt"),
            VLLM,
            {"tiny-random": Work(8.0, 2.0, 0.0004883408619216212)},
        ),
        (page("llama.cpp/metrics-busy.txt"), LLAMACPP, {"": Work(1.0, 0.0)}),
        (sglang_answers()["/metrics"].body.decode(), SGLANG, {"a/b-7b": Work(3.0, 2.0, 0.25)}),
        (
            'vllm:gpu_cache_usage_perc{model_name="old"} 0.5\n'
            'vllm:num_requests_waiting_by_reason{model_name="old"} 0.9\n',
            VLLM,
            {"old": Work(kv_cache=0.5)},
        ),
        (
            'vllm:num_requests_running{model_name="a} b"} 1 1795630449428\n'
            'vllm:num_requests_running{model_name="cut\n'
            'vllm:num_requests_waiting{model_name="a} b"} NaN\n'
            'vllm:kv_cache_usage_perc{model_name="a} b"} 9223372036854775794\n',
            VLLM,
            {"a} b": Work(running=1.0)},
        ),
        ("<html>vllm:num_requests_running 5</html>", VLLM, {}),
    ],
    ids=["vllm", "two-engines", "llamacpp", "sglang", "old-vllm", "odd-lines", "no-page"],
)
def test_a_page_tells_what_each_model_computes(
    text: str, names: Names, found: Mapping[str, Work]
) -> None:
    """What it does not tell, or what cannot be true, is absent; reasons are no second count."""
    assert {name: work for name, work in read_page(text, names).items() if work != Work()} == found


def test_a_line_of_very_many_labels_is_left_out() -> None:
    """Its parser takes time by the square of them: 6 MB kept a core busy for minutes."""
    names = ",".join(f'a{number}="b"' for number in range(10_000))
    lines = f'vllm:num_requests_running{{{names}}} 1\nvllm:num_requests_running{{engine="0"}} 2\n'

    assert read_page(lines, VLLM) == {"": Work(running=2.0)}


def test_vllm_tells_models_context_version_requests_and_cache() -> None:
    with status_server(vllm_answers()) as server:
        probe = Probe(server.url)
        values = probe.values()

    series = labels(backend="vllm", model="tiny-random")
    assert loaded(values) == {"tiny-random": 1.0}
    assert only(values, "dpl_llm_model_context_tokens") == 512.0
    assert values["dpl_llm_info"] == {labels(backend="vllm", version="0.32.0", api="openai"): 1.0}
    assert values["dpl_llm_requests_running"] == {series: 4.0}
    assert values["dpl_llm_requests_waiting"] == {series: 3.0}
    assert only(values, "dpl_llm_kv_cache_usage_ratio") == pytest.approx(0.001465, abs=1e-6)
    assert probe.slots.value() == 4
    assert probe.collector.name == "llm_openai"


def test_vllm_counts_a_model_of_two_names_once() -> None:
    answers = vllm_answers() | {"/v1/models": recorded("vllm/v1-models-two-names.json")}
    with status_server(answers) as server:
        values = Probe(server.url).values()

    assert loaded(values) == {"tiny-random": 1.0, "tiny-alias": 1.0}
    assert by(values, "dpl_llm_requests_running", "model") == {"tiny-random": 4.0}


def test_vllm_that_wants_a_key_is_found_and_up_and_its_page_names_the_model() -> None:
    with status_server(vllm_answers() | {"/v1/models": CLOSED}) as server:
        values = Probe(server.url).values()

    assert values["dpl_llm_up"] == {labels(backend="vllm"): 1.0}
    assert loaded(values) == {"tiny-random": 1.0}


def test_a_server_of_an_openai_kind_that_wants_a_key_is_up_without_models() -> None:
    with status_server({"/v1/models": CLOSED}) as server:
        values = Probe(server.url, kind="openai").values()

    assert values["dpl_llm_up"] == {labels(backend="openai"): 1.0}
    assert loaded(values) == {}


@pytest.mark.parametrize("metrics", [say({"detail": "Not Found"}, 404), Said(b"\xff\x00")])
def test_an_engine_without_a_page_tells_no_requests(metrics: Said) -> None:
    with status_server(vllm_answers() | {"/metrics": metrics}) as server:
        values = Probe(server.url).values()

    assert loaded(values) == {"tiny-random": 1.0}
    assert "dpl_llm_requests_running" not in values
    assert "dpl_llm_kv_cache_usage_ratio" not in values


def test_vllm_that_came_back_is_asked_for_its_version_again() -> None:
    with status_server(vllm_answers()) as server:
        probe = Probe(server.url)
        probe.values()
        answers, server.answers = server.answers, {}
        probe.failed()
        server.answers = answers | {"/version": say({"version": "0.33.0"})}
        values = probe.values()

    assert labels(backend="vllm", version="0.33.0", api="openai") in values["dpl_llm_info"]


def test_vllm_in_development_mode_and_sglang_tell_their_limit() -> None:
    vllm = vllm_answers() | {"/server_info": say({"vllm_config": "max_num_seqs=256, x=1"})}
    with status_server(vllm) as server:
        first = Probe(server.url)
        first.values()
    with status_server(sglang_answers()) as server:
        second = Probe(server.url)
        values = second.values()

    assert (first.slots.value(), second.slots.value()) == (256, 48)
    assert only(values, "dpl_llm_model_context_tokens") == 2048.0
    assert only(values, "dpl_llm_requests_running") == 3.0
    assert only(values, "dpl_llm_kv_cache_usage_ratio") == 0.25


def test_llamacpp_with_many_models_tells_which_are_loaded_and_sees_loads() -> None:
    def listed(**states: str) -> Said:
        return say({"data": [{"id": name, "status": {"value": v}} for name, v in states.items()]})

    with status_server(llamacpp_answers()) as server:
        probe = Probe(server.url, kind="llamacpp")
        for states in ({"a": "loaded", "b": "unloaded"}, {"a": "unloaded", "b": "loaded"}):
            server.answers["/v1/models"] = listed(**states)
            values = probe.values()

    assert loaded(values) == {"a": 0.0, "b": 1.0}
    assert by(values, "dpl_llm_model_loads_total", "model") == {"a": 0.0, "b": 1.0}
    assert by(values, "dpl_llm_model_unloads_total", "model") == {"a": 1.0, "b": 0.0}
    assert "dpl_llm_requests_running" not in values


def test_a_model_with_another_context_was_loaded_anew() -> None:
    """Two clients with different `num_ctx` make a node reload at each turn."""
    seen = Transitions()
    for context in (4096.0, 4096.0, 8192.0, None, 4096.0):
        seen.look({"m": context}, installed=["m"])

    assert (seen.loads("m"), seen.unloads("m")) == (1, 1)


def test_counts_of_a_model_outlast_a_list_that_is_empty_once() -> None:
    seen = Transitions()
    for loaded_now in ({}, {"m": None}, {}):
        seen.look(loaded_now, installed=["m"])
    seen.look({}, installed=[])

    assert (seen.loads("m"), seen.unloads("m")) == (1, 1)


def test_counts_are_kept_of_a_thousand_models_that_are_gone_and_no_more() -> None:
    seen = Transitions()
    seen.look({}, installed=[])
    seen.look({"first": None}, installed=[])
    for at in range(1100):
        seen.look({f"m{at}": None}, installed=[])

    assert seen.loads("first") == 0
    assert seen.loads("m1099") == 1
    assert sum(seen.loads(f"m{at}") for at in range(1100)) == 1000
