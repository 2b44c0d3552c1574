"""What the ollama dialect sends, which context it names, and what it reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from dpl_router.conversation import Api, ChatRequest, Done, Failed, Usage
from dpl_router.errors import BadRequest, UpstreamBroke, UpstreamRefused
from dpl_router.upstreams.base import Head
from dpl_router.upstreams.ollama import OllamaDialect

RECORDINGS = Path(__file__).parents[2] / "recordings" / "ollama"
NDJSON = Head(200, {"content-type": "application/x-ndjson"})
PLAIN = Head(200, {"content-type": "application/json; charset=utf-8"})
HI = [{"role": "user", "content": "hi"}]


def call(
    api: Api = "ollama.chat",
    *,
    model: str = "m",
    stream: bool = True,
    context: int | None = None,
    prompt_tokens: int = 1,
    **body: Any,
) -> ChatRequest:
    data = json.dumps({"model": model, **body}, separators=(",", ":")).encode()
    return ChatRequest("r1", model, data, stream, True, prompt_tokens, api=api, context=context)


def loaded(*running: dict[str, Any], tags: list[dict[str, Any]] | None = None) -> OllamaDialect:
    """A dialect that looked at a node where `running` is loaded."""
    dialect = OllamaDialect()
    here = tags or [{"name": one["name"], "digest": one.get("digest", "d")} for one in running]
    bodies = [json.dumps({"models": models}).encode() for models in (here, list(running))]
    dialect.read_models(bodies)
    return dialect


def options(dialect: OllamaDialect, asked: ChatRequest, model: str = "m") -> Any:
    return json.loads(dialect.request(asked, model).body).get("options")


RUNNING = {"name": "m:latest", "context_length": 8192}


@pytest.mark.parametrize(
    ("api", "path"),
    [
        ("ollama.chat", "/api/chat"),
        ("ollama.generate", "/api/generate"),
        ("ollama.embed", "/api/embed"),
        ("ollama.embeddings", "/api/embeddings"),
        ("openai.chat", "/api/chat"),
        ("openai.completion", "/api/generate"),
        ("openai.embedding", "/api/embed"),
    ],
)
def test_every_call_has_its_path(api: Api, path: str) -> None:
    asked = call(api, messages=HI, prompt="hi", input="hi")

    assert OllamaDialect().request(asked, "m").path == path


def test_the_bytes_of_an_ollama_client_go_out_as_they_were() -> None:
    asked = call(messages=HI, options={"seed": 1}, keep_alive="5m", think=True, format="json")

    assert OllamaDialect().request(asked, "m").body == asked.body


def test_only_the_model_is_renamed() -> None:
    body = OllamaDialect().request(call(messages=HI, keep_alive=-1), "m:latest").body

    assert body == call(messages=HI, keep_alive=-1).body.replace(b'"m"', b'"m:latest"')


@pytest.mark.parametrize("api", ["ollama.chat", "openai.chat"])
def test_a_call_that_names_no_context_gets_the_loaded_one(api: Api) -> None:
    """Otherwise two kinds of clients make the node load the model anew at each turn."""
    asked = call(api, messages=HI, options={"seed": 1}, context=16384)

    assert options(loaded(RUNNING), asked) == {"seed": 1, "num_ctx": 8192}


def test_names_are_compared_as_ollama_compares_them() -> None:
    for name in ("M", "m:latest", "library/m", "registry.ollama.ai/library/M:LATEST"):
        assert options(loaded(RUNNING), call(messages=HI), name) == {"num_ctx": 8192}


@pytest.mark.parametrize("api", ["ollama.chat", "openai.chat"])
def test_where_nothing_is_loaded_the_operators_context_is_named(api: Api) -> None:
    assert options(OllamaDialect(), call(api, messages=HI, context=16384)) == {"num_ctx": 16384}
    assert options(OllamaDialect(), call(api, messages=HI)) is None


@pytest.mark.parametrize(("own", "sent"), [(2048, 16384), (32768, 32768)])
def test_a_context_that_is_named_is_sent_or_the_operators_where_it_is_larger(
    own: int, sent: int
) -> None:
    asked = call(messages=HI, options={"num_ctx": own}, context=16384)

    assert options(loaded(RUNNING), asked) == {"num_ctx": sent}


def test_a_context_that_is_named_is_sent_where_the_operator_named_none() -> None:
    asked = call(messages=HI, options={"num_ctx": 2048})

    assert OllamaDialect().request(asked, "m").body == asked.body
    assert options(loaded(RUNNING), asked) == {"num_ctx": 2048}


@pytest.mark.parametrize("wrong", ["fast", [1], 7, {"num_ctx": "big"}])
def test_what_the_node_shall_refuse_is_left_as_it_is(wrong: Any) -> None:
    asked = call(messages=HI, options=wrong, context=16384)

    assert options(loaded(RUNNING), asked) == wrong


def test_a_context_is_known_until_the_list_says_otherwise() -> None:
    dialect = loaded(RUNNING)
    tags = json.dumps({"models": [{"name": "m:latest"}]}).encode()

    dialect.read_models([tags, None])
    assert options(dialect, call(messages=HI)) == {"num_ctx": 8192}
    dialect.read_models([tags, b'{"models":[]}'])
    assert options(dialect, call(messages=HI)) is None


def test_names_that_share_weights_share_the_loaded_context() -> None:
    tags = [
        {"name": "base:1b", "digest": "a", "details": {"parent_model": ""}},
        {"name": "mine:latest", "digest": "b", "details": {"parent_model": "base:1b"}},
        {"name": "other:latest", "digest": "c", "details": {"parent_model": "else:1b"}},
    ]
    dialect = loaded({"name": "base:1b", "digest": "a", "context_length": 2048}, tags=tags)

    assert options(dialect, call(messages=HI), "mine:latest") == {"num_ctx": 2048}
    assert options(dialect, call(messages=HI), "other:latest") is None


@pytest.mark.parametrize("odd", [b"1e400", b"[1e400]"])
@pytest.mark.parametrize("api", ["ollama.embed", "ollama.chat"])
def test_a_context_that_is_out_of_range_is_refused_by_name(api: Api, odd: bytes) -> None:
    asked = call(api, input="x", options={"num_ctx": 1})
    asked.body = asked.body.replace(b":1}", b":" + odd + b"}")

    with pytest.raises(BadRequest) as caught:
        loaded(RUNNING).request(asked, "m")

    assert caught.value.param == "options.num_ctx"


def test_options_that_are_none_are_refused_where_a_chat_must_be_a_prompt() -> None:
    asked = call(messages=HI, options=["x"])

    with pytest.raises(BadRequest) as caught:
        OllamaDialect().second(asked, "m", Head(404, {}), b"404 page not found")

    assert caught.value.param == "options"


@pytest.mark.parametrize("body", [b"<html>", b'{"error":"Unexpected endpoint"}', b"[]", b"{}"])
def test_what_is_no_list_of_models_is_not_taken_for_an_empty_one(body: bytes) -> None:
    with pytest.raises(UpstreamBroke, match="no list of models"):
        OllamaDialect().read_models([body, None])


# What the node answers.


def done_of(asked: ChatRequest, dialect: OllamaDialect | None = None, **last: Any) -> Done:
    record = {"model": "m", "response": "x", "done": True, "done_reason": "stop", **last}
    decoder = (dialect or OllamaDialect()).decoder(asked, "m", PLAIN)
    decoder.feed(json.dumps(record).encode())
    done = decoder.end()[-1][0]
    assert isinstance(done, Done)
    return done


def test_durations_are_seconds() -> None:
    timings = done_of(
        call("ollama.generate", stream=False),
        load_duration=1_500_000_000,
        prompt_eval_count=100,
        prompt_eval_duration=500_000_000,
        eval_count=8,
        eval_duration=250_000_000,
    ).timings

    assert timings is not None
    assert (timings.load_seconds, timings.prompt_seconds, timings.eval_seconds) == (1.5, 0.5, 0.25)
    assert (timings.prompt_evaluated, timings.eval_tokens) == (100, 8)


def test_a_prompt_that_was_cached_says_nothing_of_speed() -> None:
    done = done_of(
        call("ollama.generate", stream=False),
        prompt_eval_count=451,
        prompt_eval_duration=21_000_000,
    )

    assert done.usage == Usage(451)
    assert done.timings is not None
    assert done.timings.prompt_evaluated is None


LONG = "Item 7: the quick brown fox jumps over the lazy dog. " * 100


@pytest.mark.parametrize(
    ("context", "counted", "cut"),
    [
        (256, 130, True),  # 0.32: half of the context
        (256, 256, True),  # 0.24
        (256, 200, True),  # whole messages were dropped
        (1024, 514, True),  # a little too long, and the count is that of a cut
        (8192, 1200, False),
        (1024, 1000, False),  # long words: it may be all of it
        (None, 130, False),  # too little is known
    ],
)
def test_a_prompt_that_was_cut_is_told(context: int | None, counted: int, cut: bool) -> None:
    dialect = loaded({**RUNNING, "context_length": context}) if context else OllamaDialect()
    asked = call("ollama.generate", stream=False, prompt=LONG, prompt_tokens=len(LONG) // 4)

    usage = done_of(asked, dialect, prompt_eval_count=counted).usage

    assert usage is not None
    assert usage.truncated is cut


def test_a_body_that_cannot_be_read_again_takes_no_answer_away() -> None:
    asked = call("ollama.generate", stream=False, prompt=LONG, options={"seed": 1})
    asked.prompt_tokens, asked.body = 1000, asked.body.replace(b":1}", b":1e400}")

    usage = done_of(asked, loaded({**RUNNING, "context_length": 256}), prompt_eval_count=130).usage

    assert usage is not None
    assert not usage.truncated


def test_images_are_no_text_that_could_be_cut() -> None:
    asked = call("ollama.generate", stream=False, prompt="hi", images=["iVBOR" * 2000])
    asked.prompt_tokens = 2500

    usage = done_of(asked, loaded({**RUNNING, "context_length": 256}), prompt_eval_count=130).usage

    assert usage is not None
    assert not usage.truncated


def test_the_name_that_the_client_used_is_echoed_and_nothing_else_changes() -> None:
    line = (
        b'{"model":"m:latest","message":{"role":"assistant","content":"\xe2\x80\xa8"},"x": 1.0}\n'
    )
    odd = b'{"x":1.50,"model":"m:latest","response":"","done":true}\n'
    decoder = OllamaDialect().decoder(call(model='my "m"'), "m:latest", NDJSON)

    [(_, first)] = decoder.feed(line)
    [(_, second)] = decoder.feed(odd.replace(b'"response":""', b'"message":{"content":""}'))

    assert first == line.replace(b'"m:latest"', b'"my \\"m\\""')
    assert second == b'{"x":1.50,"model":"my \\"m\\"","message":{"content":""},"done":true}\n'


BAD_LINES = [b"garbage", b'{"status":"pulling"}', b'{"error":"out of memory"}', b"x" * 2**20]


@pytest.mark.parametrize("bad", BAD_LINES, ids=["garbage", "no record", "error", "endless"])
@pytest.mark.parametrize("api", ["ollama.chat", "openai.chat"])
def test_what_came_before_a_bad_line_is_handed_out_first(api: Api, bad: bytes) -> None:
    good = b'{"model":"m","message":{"content":"Hi"},"done":false}\n'
    decoder = OllamaDialect().decoder(call(api, messages=HI), "m", NDJSON)

    *said, (end, _) = decoder.feed(good + bad + b"\n")

    assert isinstance(end, Failed)
    assert isinstance(end.error, UpstreamBroke)
    assert [bool(raw) for _, raw in said] == [True]
    early = OllamaDialect().decoder(call(api, messages=HI), "m", NDJSON)
    with pytest.raises(UpstreamRefused):
        early.feed(bad + b"\n")


@pytest.mark.parametrize("api", ["ollama.chat", "openai.chat"])
def test_a_clean_end_without_done_is_a_cut(api: Api) -> None:
    """As a killed runner, or one that SIGTERM ended, leaves it."""
    decoder = OllamaDialect().decoder(call(api, messages=HI), "m", NDJSON)
    decoder.feed(b'{"model":"m","message":{"content":"Hi"},"done":false}\n')

    with pytest.raises(UpstreamBroke, match="done:true"):
        decoder.end()
    with pytest.raises(UpstreamRefused, match="done:true"):
        OllamaDialect().decoder(call(api, messages=HI), "m", NDJSON).end()


def test_what_follows_the_last_record_is_not_read() -> None:
    decoder = OllamaDialect().decoder(call(messages=HI), "m", NDJSON)

    pieces = decoder.feed(b'{"message":{},"done":true}\ngarbage\n')

    assert [type(event) for event, _ in pieces] == [Done]


@pytest.mark.parametrize("media", ["text/html", "text/event-stream"])
def test_another_protocol_is_no_answer(media: str) -> None:
    decoder = OllamaDialect().decoder(call(messages=HI), "m", Head(200, {"content-type": media}))

    with pytest.raises(UpstreamRefused, match=media):
        decoder.feed(b"<")


def test_a_load_is_answered_as_plain_json_though_a_stream_was_the_default() -> None:
    said = b'{"model":"m","message":{"content":""},"done":true,"done_reason":"load"}'
    decoder = OllamaDialect().decoder(call(messages=[]), "m", PLAIN)

    decoder.feed(said)

    assert decoder.end()[0][1] == said + b"\n"
