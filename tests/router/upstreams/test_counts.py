"""What a node counted is used only as far as it can be true, in whatever protocol it says so."""

import json
from collections.abc import Sequence
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.conversation import Api, ChatRequest, Done, Timings, Usage
from dpl_router.scheduling.speed import SECONDS_MAX, TOKENS_MAX
from dpl_router.upstreams import counts
from dpl_router.upstreams.base import Dialect, Head
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect

JSON, SSE, NDJSON = "application/json", "text/event-stream", "application/x-ndjson"
WILD = [-1, 10**8, 10**20, 10**400]

numbers = st.none() | st.integers() | st.sampled_from([10**400, -(10**400)])


@given(numbers, numbers, numbers)
def test_a_usage_holds_only_what_an_answer_can_have(
    prompt: int | None, completion: int | None, cached: int | None
) -> None:
    usage = counts.usage(prompt, completion, cached)

    for count in (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens):
        assert count is None or 0 <= count <= TOKENS_MAX
    if usage.cached_tokens is not None:
        assert usage.prompt_tokens is not None
        assert usage.cached_tokens <= usage.prompt_tokens


@given(numbers | st.floats())
def test_a_time_is_one_that_an_answer_can_take(said: float | None) -> None:
    seconds = counts.seconds(said, 1000.0)

    assert seconds is None or 0 <= seconds <= SECONDS_MAX


def test_what_can_be_true_is_kept() -> None:
    assert counts.usage(0, 5, 0) == Usage(0, 5, 0)
    assert counts.usage(7, int(TOKENS_MAX), 7) == Usage(7, int(TOKENS_MAX), 7)
    assert counts.usage(7, 1, 8) == Usage(7, 1, None)
    assert counts.seconds(1500.0, 1000.0) == 1.5
    assert [counts.seconds(said, 1.0) for said in (inf, nan, -0.1)] == [None] * 3


def end(dialect: Dialect, api: Api, media: str, said: Sequence[Any]) -> tuple[Done, bytes]:
    """Of an answer, with the client's bytes."""
    stream = media != JSON
    call = ChatRequest("r1", "m", b"{}", stream, True, 1, api=api)
    lines = [one if isinstance(one, str) else json.dumps(one) for one in said]
    frame = "data: {}\n\n" if media == SSE else "{}\n"
    decoder = dialect.decoder(call, "m", Head(200, {"content-type": media}))
    pieces = [*decoder.feed("".join(map(frame.format, lines)).encode()), *decoder.end()]
    done = pieces[-1][0]
    assert isinstance(done, Done)
    return done, b"".join(raw or b"" for _, raw in pieces)


@pytest.mark.parametrize("wild", WILD, ids=range(len(WILD)))
@pytest.mark.parametrize("api", ["openai.chat", "openai.completion"])
@pytest.mark.parametrize("media", [JSON, SSE])
def test_a_wild_number_of_openais_is_the_clients_to_read_and_nothing_to_us(
    wild: int, api: Api, media: str
) -> None:
    said = {"role": "assistant", "content": "a"}
    choice = {"index": 0, "finish_reason": "stop", "text": "a", "message": said, "delta": said}
    counted = {
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": wild,
            "prompt_tokens_details": {"cached_tokens": wild},
        },
        "timings": {"prompt_n": 5, "prompt_ms": -1.0, "predicted_n": wild, "predicted_ms": 1e308},
    }
    answer = {"id": "x", "created": 1, "model": "m", "choices": [choice], **counted}

    done, raw = end(OpenAiDialect(), api, media, [answer] if media == JSON else [answer, "[DONE]"])

    assert done.usage == Usage(5, None, None)
    assert done.timings == Timings(prompt_evaluated=5)
    assert str(wild).encode() in raw


@pytest.mark.parametrize("wild", WILD, ids=range(len(WILD)))
@pytest.mark.parametrize("media", [JSON, NDJSON])
def test_a_wild_number_of_ollamas_is_the_clients_to_read_and_nothing_to_us(
    wild: int, media: str
) -> None:
    names = ("eval_count", "eval_duration", "prompt_eval_count", "load_duration")
    long = wild if wild < 0 else wild * 10**9
    counted = {name: long if "duration" in name else wild for name in names}
    message = {"role": "assistant", "content": "a"}
    answer = {"model": "m", "message": message, "done": True, "done_reason": "stop", **counted}
    vectors = {"model": "m", "embeddings": [[1.0]], **counted}

    done, raw = end(OllamaDialect(), "ollama.chat", media, [answer])
    embedded, _ = end(OllamaDialect(), "ollama.embed", JSON, [vectors])

    assert (done.usage, done.timings) == (Usage(), Timings())
    assert (embedded.usage, embedded.timings) == (Usage(), Timings())
    assert str(wild).encode() in raw


def test_a_wild_number_of_an_unread_protocol_counts_nothing() -> None:
    said = {"type": "message_stop", "usage": {"input_tokens": 10**8, "output_tokens": 1}}

    done, _ = end(OpenAiDialect(), "opaque", SSE, [said])

    assert done.usage is None
