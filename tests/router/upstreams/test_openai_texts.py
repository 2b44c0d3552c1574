"""/v1/completions and /v1/embeddings of a node, for OpenAI's clients."""

import json
from typing import Any

import pytest

from dpl_router.conversation import Api, ChatRequest, Done, Failed, Piece, Usage
from dpl_router.errors import UpstreamBroke, UpstreamRefused
from dpl_router.upstreams.base import Dialect, Head
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.openai import OpenAiDialect
from tests.fakes.taken import taken

SSE, JSON = "text/event-stream", "application/json"
TOP = {"id": "x", "object": "text_completion", "created": 7, "model": "m"}


def call(
    api: Api = "openai.completion", *, stream: bool = True, wants: bool = True, **body: Any
) -> ChatRequest:
    data = json.dumps({"model": "m", "stream": stream, **body}).encode()
    return ChatRequest("r1", "m", data, stream, wants, prompt_tokens=1, api=api)


def part(text: str, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def event(*parts: dict[str, Any], **more: Any) -> bytes:
    return b"data: " + json.dumps({**TOP, "choices": list(parts), **more}).encode() + b"\n\n"


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
END = b"data: [DONE]\n\n"
WHOLE = event(part("Hel")) + event(part("lo", "stop")) + event(usage=USAGE)


def run(
    data: bytes,
    asked: ChatRequest | None = None,
    *,
    media: str = SSE,
    dialect: Dialect | None = None,
) -> list[Piece]:
    head = Head(200, {"content-type": media})
    decoder = (dialect or OpenAiDialect(lambda: 9.0)).decoder(asked or call(), "node", head)
    pieces = list(taken(decoder.feed(data)))
    if not any(isinstance(event, Done) for event, _ in pieces):
        pieces += taken(decoder.end())
    return pieces


def seen(pieces: list[Piece]) -> list[dict[str, Any]]:
    stream = b"".join(raw or b"" for _, raw in pieces)
    return [json.loads(one[6:]) for one in stream.split(b"\n\n") if one]


def finishes(pieces: list[Piece]) -> list[str]:
    parts = [part for chunk in seen(pieces) for part in chunk["choices"]]
    return [one["finish_reason"] for one in parts if one["finish_reason"]]


def test_a_sound_stream_is_passed_on_as_it_came() -> None:
    pieces = run(WHOLE + END)

    assert seen(pieces) == [
        {**TOP, "choices": [part("Hel")]},
        {**TOP, "choices": [part("lo", "stop")]},
        {**TOP, "choices": [], "usage": USAGE},
    ]
    assert pieces[0][1] == event(part("Hel"))
    assert pieces[-1][0] == Done("stop", Usage(3, 2))


def test_usage_in_every_event_becomes_one_at_the_end() -> None:
    """As a real Ollama sends it: zeros first."""
    zeros = dict.fromkeys(USAGE, 0)
    data = event(part("Hel"), usage=zeros) + event(part("lo", "stop"), usage=USAGE)

    pieces = run(data + END)

    assert ["usage" in chunk for chunk in seen(pieces)] == [False, False, True]
    assert seen(pieces)[-1]["usage"] == USAGE
    assert not any("usage" in chunk for chunk in seen(run(data + END, call(wants=False))))


def test_one_id_one_time_and_the_clients_model_for_all_events() -> None:
    odd = event(part("Hel"), id="", created=0, model="theirs")
    pieces = run(odd + event(part("lo", "stop"), id="y", model="") + END)

    assert {(one["id"], one["created"], one["model"]) for one in seen(pieces)} == {
        ("cmpl-r1", 9, "m")
    }


def test_a_finish_that_was_not_the_last_word_is_taken_back() -> None:
    data = event(part("a", "stop")) + event(part("b", "")) + event(part("c", "length"))

    pieces = run(data + END)

    assert finishes(pieces) == ["length"]
    assert "".join(one["choices"][0]["text"] for one in seen(pieces)) == "abc"


def test_an_event_that_says_null_is_none() -> None:
    """llama.cpp's first, where several prompts are asked at once."""
    assert finishes(run(b"data: null\n\n" + WHOLE + END)) == ["stop"]


def test_several_choices_end_once_each() -> None:
    data = (
        event(part("a"), part("b", index=1))
        + event(part("", "stop"))
        + event(part("", "length", index=1))
    )

    pieces = run(data + END)

    assert finishes(pieces) == ["stop", "length"]
    assert pieces[-1][0] == Done("stop")


def test_a_clean_end_after_the_finish_is_an_end_and_before_it_a_cut() -> None:
    assert finishes(run(WHOLE)) == ["stop"]
    with pytest.raises(UpstreamBroke, match="last word"):
        run(event(part("Hel")))


@pytest.mark.parametrize("bad", ["{", '{"error":{"message":"oops"}}', '{"object":"x"}'])
def test_what_is_no_completion_breaks_the_answer_after_what_came(bad: str) -> None:
    decoder = OpenAiDialect().decoder(call(), "node", Head(200, {"content-type": SSE}))

    pieces = decoder.feed(event(part("Hel")) + f"data: {bad}\n\n".encode())

    [_, (end, _)] = pieces
    assert isinstance(end, Failed)
    assert isinstance(end.error, UpstreamBroke)
    with pytest.raises(UpstreamRefused):
        run(f"data: {bad}\n\n".encode())


def test_a_whole_answer_to_a_stream_becomes_one() -> None:
    body = json.dumps({**TOP, "choices": [part("Hello", "stop")], "usage": USAGE}).encode()

    pieces = run(body, media=JSON)

    assert finishes(pieces) == ["stop"]
    assert seen(pieces)[-1] == {**TOP, "choices": [], "usage": USAGE}


def test_a_plain_answer_is_passed_on_byte_for_byte() -> None:
    body = json.dumps({**TOP, "choices": [part("Hello", "stop")], "usage": USAGE}).encode()

    assert run(body, call(stream=False), media=JSON) == [(Done("stop", Usage(3, 2)), body)]


@pytest.mark.parametrize("body", [b"{}", b'{"error":"no"}', b"<html>", b'{"choices":[]}'])
@pytest.mark.parametrize("stream", [True, False])
def test_a_200_that_is_no_completion_is_a_refusal(body: bytes, stream: bool) -> None:
    with pytest.raises(UpstreamRefused, match="200"):
        run(body, call(stream=stream), media=JSON)


def test_llama_cpp_streams_a_plain_completion_to_hear_hang_ups() -> None:
    dialect, asked = LlamaCppDialect(), call(stream=False, wants=False)
    told = json.loads(dialect.request(asked, "m").body)
    logprobs = {"content": [{"token": "Hel", "logprob": -1}]}
    data = event({**part("Hel"), "logprobs": logprobs}) + event(part("lo", "length"), usage=USAGE)

    [*before, (done, raw)] = run(data + END, asked, dialect=dialect)

    assert (told["stream"], told["stream_options"]) == (True, {"include_usage": True})
    assert all(raw == b"" for _, raw in before)
    assert done == Done("length", Usage(3, 2))
    whole = json.loads(raw or b"")
    assert whole["object"] == "text_completion"
    assert whole["usage"] == USAGE
    assert whole["choices"] == [{**part("Hello", "length"), "logprobs": logprobs}]


# Embeddings.


def embeddings(*items: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"object": "list", "data": list(items), "model": "m", **more}).encode()


FIRST = {"object": "embedding", "embedding": [0.25, 1.0], "index": 0}
SECOND = {"object": "embedding", "embedding": "AACAPg==", "index": 1}


def embedded(body: bytes) -> list[Piece]:
    return run(body, call("openai.embedding", stream=False), media=JSON)


def test_sound_embeddings_are_passed_on_byte_for_byte() -> None:
    body = embeddings(FIRST, SECOND, usage={"prompt_tokens": 4, "total_tokens": 4})

    assert embedded(body) == [(Done(None, Usage(4)), body)]


def test_embeddings_are_put_in_the_order_of_their_inputs() -> None:
    [(_, raw)] = embedded(embeddings(SECOND, FIRST, x=1))

    assert json.loads(raw or b"") == json.loads(embeddings(FIRST, SECOND, x=1))


def test_embeddings_name_the_model_as_the_client_did() -> None:
    [(_, raw)] = embedded(embeddings(FIRST).replace(b'"m"', b'"theirs"'))

    assert json.loads(raw or b"")["model"] == "m"


@pytest.mark.parametrize(
    "body", [b"{}", b'{"error":"no"}', embeddings(), b'{"data":[{"index":0}]}']
)
def test_a_200_without_embeddings_is_a_refusal(body: bytes) -> None:
    with pytest.raises(UpstreamRefused, match="200"):
        embedded(body)
