"""Which kind the LLM server is and whether it is up, whatever it says."""

import time
from collections.abc import Callable

import pytest

from dpl_exporter.collectors.llm import detect
from dpl_exporter.errors import Failed, LlmBadAnswer
from dpl_exporter.local_http import Calls
from tests.exporter.probe import Probe, loaded
from tests.exporter.values import by, labels, only, values_of
from tests.fakes.llm_status import (
    LMSTUDIO_OTHERWISE,
    Said,
    black_hole,
    llamacpp_answers,
    lmstudio_answers,
    ollama_answers,
    say,
    status_server,
    vllm_answers,
)

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (ollama_answers, "ollama"),
        (llamacpp_answers, "llamacpp"),
        (vllm_answers, "vllm"),
        (lmstudio_answers, "lmstudio"),
        (lambda: {"/v1/models": say({"data": [{"id": "m", "owned_by": "me"}]})}, "openai"),
        (lambda: {"/v1/models": say({"data": [{"id": "m", "owned_by": "sglang"}]})}, "sglang"),
        (lambda: {"/api/version": say({"version": "0.1.0"})}, "ollama"),
    ],
)
def test_the_kind_is_found_with_at_most_three_gets(
    answers: Callable[[], dict[str, Said]], kind: str
) -> None:
    with status_server(answers()) as server:
        assert detect(Calls(server.url, 5.0)) == kind
        assert len(server.asked) <= 3


def test_a_server_that_says_200_to_any_path_is_not_taken_at_its_word() -> None:
    with status_server({}, otherwise=LMSTUDIO_OTHERWISE) as server, pytest.raises(LlmBadAnswer):
        detect(Calls(server.url, 5.0))


def test_lmstudio_is_found_although_it_says_200_to_any_path() -> None:
    with status_server(lmstudio_answers(), otherwise=LMSTUDIO_OTHERWISE) as server:
        assert detect(Calls(server.url, 5.0)) == "lmstudio"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_server_that_does_not_say_now_what_it_is_is_looked_at_again(status: int) -> None:
    """An Ollama that was busy once was an `openai` until the exporter's restart."""
    answers = ollama_answers()
    with status_server(answers | {"/api/version": say({"error": "busy"}, status)}) as server:
        probe = Probe(server.url)
        busy = probe.failed()
        server.answers.update(answers)
        well = probe.values()

    assert busy["dpl_llm_up"] == {labels(backend="unknown"): 0.0}
    assert well["dpl_llm_up"] == {labels(backend="ollama"): 1.0}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
def test_a_server_that_has_no_such_path_is_of_another_kind(status: int) -> None:
    answers = {"/v1/models": say({"data": [{"id": "m", "owned_by": "me"}]})}
    with status_server(answers, otherwise=say({"error": "no"}, status)) as server:
        assert detect(Calls(server.url, 5.0)) == "openai"


def test_nobody_there_is_down_and_unknown() -> None:
    probe = Probe(NOWHERE)

    values = probe.failed()

    assert values["dpl_llm_up"] == {labels(backend="unknown"): 0.0}
    assert by(values, "dpl_llm_probe_duration_seconds", "backend").keys() == {"unknown"}
    assert probe.collector.name == "llm"


def test_a_black_hole_is_down_within_its_budget() -> None:
    with black_hole() as url:
        started = time.monotonic()
        values = Probe(url, budget=0.3).failed()

    assert values["dpl_llm_up"] == {labels(backend="unknown"): 0.0}
    assert time.monotonic() - started < 5.0


def test_the_kind_is_probed_again_until_known_and_then_kept() -> None:
    with status_server({}) as server:
        probe = Probe(server.url)
        before = probe.failed()
        server.answers.update(ollama_answers())
        known = probe.values()
        server.answers.clear()
        gone = probe.failed()

    assert before["dpl_llm_up"] == {labels(backend="unknown"): 0.0}
    assert known["dpl_llm_up"] == {labels(backend="ollama"): 1.0}
    assert gone["dpl_llm_up"] == {labels(backend="ollama"): 0.0}
    assert probe.collector.name == "llm_ollama"


def test_another_server_on_the_same_port_is_found_once_the_first_was_gone_for_a_minute() -> None:
    with status_server(ollama_answers()) as server:
        probe = Probe(server.url)
        probe.values()
        server.answers.clear()
        server.answers.update(vllm_answers())
        soon = probe.failed()
        probe.ahead = 61.0
        later = probe.values()

    assert soon["dpl_llm_up"] == {labels(backend="ollama"): 0.0}
    assert later["dpl_llm_up"] == {labels(backend="vllm"): 1.0}
    assert probe.collector.name == "llm_openai"


def test_a_server_that_is_down_for_long_keeps_its_kind_and_its_counts() -> None:
    """Else an alert on it would begin anew, and a restart would count every model as unloaded."""
    with status_server(ollama_answers()) as server:
        probe = Probe(server.url)
        probe.values()
        backend = probe.collector.backend
        server.answers.clear()
        probe.ahead = 61.0
        gone = probe.failed()
        server.answers.update(ollama_answers())
        probe.values()

    assert gone["dpl_llm_up"] == {labels(backend="ollama"): 0.0}
    assert probe.collector.backend is backend


def test_a_kind_that_was_told_is_kept_whatever_answers() -> None:
    with status_server(vllm_answers()) as server:
        probe = Probe(server.url, kind="ollama")
        probe.failed()
        probe.ahead = 61.0
        later = probe.failed()

    assert later["dpl_llm_up"] == {labels(backend="ollama"): 0.0}


def test_a_kind_that_was_told_is_not_probed() -> None:
    with status_server(llamacpp_answers()) as server:
        probe = Probe(server.url, kind="llamacpp")
        probe.values()

        assert server.asked[0] == "/health"


def test_a_late_collector_says_that_the_server_is_not_up() -> None:
    with status_server(ollama_answers()) as server:
        probe = Probe(server.url)
        probe.values()

    assert values_of(probe.collector.late())["dpl_llm_up"] == {labels(backend="ollama"): 0.0}


def test_a_collector_that_fails_after_hello_still_says_that_the_server_is_up() -> None:
    answers = ollama_answers()
    answers["/api/ps"] = say({"error": "boom"}, 500)
    with status_server(answers) as server:
        values = Probe(server.url).failed()

    assert values["dpl_llm_up"] == {labels(backend="ollama"): 1.0}
    assert "dpl_llm_model_loaded" not in values


WRONG = [
    b"",
    b"\xff\xfe",
    b"[" * 50_000,
    b"null",
    b'{"models": 5, "data": {"a": 1}, "version": [1]}',
    b'{"models": [5, null, {"name": 7}], "data": [[], {"id": null}], "version": "1"}',
    b'{"models": [{"name": "m", "size": 1e999, "details": [], "expires_at": 5}], "version": "1"}',
    b'{"models": [{"name": "' + b"x\\n" * 500 + b'", "size": "big"}], "version": "1"}',
    b'{"data": [{"id": "m", "max_model_len": "no", "meta": "no"}], "total_slots": -3}',
]


@pytest.mark.parametrize("body", WRONG)
@pytest.mark.parametrize("kind", ["ollama", "llamacpp", "vllm", "sglang", "lmstudio", "openai"])
def test_a_server_that_says_rubbish_is_a_failure_or_tells_nothing_but_never_a_bug(
    kind: str, body: bytes
) -> None:
    with status_server({}, otherwise=Said(body)) as server:
        probe = Probe(server.url, kind=kind)
        try:
            values = probe.values()
        except Failed as failed:
            values = values_of(failed.families)

    assert only(values, "dpl_llm_up") in (0.0, 1.0)
    names = loaded(values)
    assert all(len(name) <= 200 and name.isprintable() for name in names)
    assert probe.slots.value() >= 1


def test_a_server_with_a_thousand_models_does_not_burst_the_page() -> None:
    many = {"models": [{"name": f"m{i}", "digest": f"{i:064}"} for i in range(1000)]}
    answers = ollama_answers() | {"/api/tags": say(many)}
    with status_server(answers, otherwise=say({"error": "no"}, 404)) as server:
        values = Probe(server.url, kind="ollama").values()

    assert len(loaded(values)) == 100
