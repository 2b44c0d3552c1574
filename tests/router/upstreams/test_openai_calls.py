"""What the openai dialect sends, and the answers that are no streams."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dpl_router.conversation import ChatRequest, Done, Usage
from dpl_router.errors import RequestRefused, UpstreamBroke, UpstreamRefused
from dpl_router.upstreams.base import Head
from dpl_router.upstreams.openai import OpenAiDialect
from dpl_router.upstreams.whole import PLAIN_LIMIT

RECORDINGS = Path(__file__).parents[2] / "recordings"
JSON = Head(200, {"content-type": "application/json"})


def call(body: str, *, model: str = "m", stream: bool = True, wants: bool = False) -> ChatRequest:
    return ChatRequest("r1", model, body.encode(), stream, wants, prompt_tokens=1)


def sent(request: ChatRequest, model: str = "m") -> bytes:
    return OpenAiDialect().request(request, model).body


def test_a_plain_call_goes_out_as_the_bytes_it_was() -> None:
    body = '{ "model" : "m", "messages": [], "x": 1.0 }'

    assert sent(call(body, stream=False)) == body.encode()


def test_a_stream_that_asks_for_usage_itself_goes_out_as_the_bytes_it_was() -> None:
    body = '{"model": "m", "stream": true, "stream_options": {"include_usage": true}}'

    assert sent(call(body, wants=True)) == body.encode()


def test_usage_is_always_asked_of_a_stream() -> None:
    assert sent(call('{"model":"m","stream":true}')) == (
        b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
    )


@pytest.mark.parametrize("options", ["null", "{}", '{"include_usage":false}'])
def test_options_of_the_client_are_completed(options: str) -> None:
    body = sent(call(f'{{"model":"m","stream":true,"stream_options":{options}}}'))

    assert json.loads(body)["stream_options"] == {"include_usage": True}


def test_other_stream_options_stay() -> None:
    body = sent(call('{"model":"m","stream":true,"stream_options":{"x":1}}'))

    assert json.loads(body)["stream_options"] == {"x": 1, "include_usage": True}


def test_the_model_gets_the_nodes_name_and_all_else_stays_as_it_was() -> None:
    body = '{"temperature":1e-1,"model":"mine","unknown":{"a": [1,  2]},"b":"\\u00e9"}'

    assert sent(call(body, model="mine", stream=False), "theirs") == (
        b'{"temperature":1e-1,"model":"theirs","unknown":{"a": [1,  2]},"b":"\\u00e9"}'
    )


def test_where_the_client_named_no_model_the_nodes_is_put_in() -> None:
    assert json.loads(sent(call('{"messages":[]}', model="", stream=False), "theirs")) == {
        "messages": [],
        "model": "theirs",
    }


def test_a_surface_that_always_streams_says_so_to_the_node() -> None:
    assert json.loads(sent(call('{"model":"m"}')))["stream"] is True


def test_only_allow_listed_headers_are_sent() -> None:
    request = OpenAiDialect().request(call("{}", stream=False), "m")

    assert request.method == "POST"
    assert request.path == "/v1/chat/completions"
    assert request.headers == {
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    assert request.id == "r1"


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("llama.cpp/v1-models.json", ["tiny-random"]),
        ("vllm/v1-models-two-names.json", ["tiny-random", "tiny-alias"]),
    ],
)
def test_models_are_read_from_real_servers(file: str, names: list[str]) -> None:
    listed = OpenAiDialect().read_models([(RECORDINGS / file).read_bytes()])

    assert [model.name for model in listed] == names


def test_no_model_is_an_empty_list() -> None:
    assert OpenAiDialect().read_models([b'{"object":"list","data":null}']) == []


@pytest.mark.parametrize("body", [b"<html>", b'{"error":"Unexpected endpoint"}', b"[]", b"\xff"])
def test_what_is_no_list_of_models_is_not_taken_for_an_empty_one(body: bytes) -> None:
    with pytest.raises(UpstreamBroke, match="no list of models"):
        OpenAiDialect().read_models([body])


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("llama.cpp/error-bad-json.response.txt", "parse error at line 1"),
        ("llama.cpp/error-context-exceeded.response.txt", "927 tokens"),
        ("llama.cpp/error-no-messages.response.txt", "'messages' is required"),
        ("vllm/error-400-bad-json.response.txt", "JSON decode error"),
        ("vllm/error-400-context-stream.response.txt", "maximum context length"),
        ("vllm/error-400-no-messages.response.txt", "Field required"),
        ("vllm/error-400-temperature.response.txt", "non-negative"),
    ],
)
def test_a_real_400_reaches_the_client_with_its_message(file: str, message: str) -> None:
    _, body = re.split(rb"\r?\n\r?\n", (RECORDINGS / file).read_bytes(), maxsplit=1)
    error = OpenAiDialect().refusal(Head(400, {}), body)

    assert isinstance(error, RequestRefused)
    assert message in error.message


def plain(body: bytes, *, model: str = "tiny-random", cut: int = 7) -> tuple[Done, bytes]:
    decoder = OpenAiDialect().decoder(call("{}", model=model, stream=False), "node", JSON)
    for at in range(0, len(body), cut):
        assert not decoder.feed(body[at : at + cut])
    [(done, raw)] = decoder.end()
    assert isinstance(done, Done)
    assert raw is not None
    return done, raw


@pytest.mark.parametrize(
    "file", ["llama.cpp/chat.json", "vllm/chat.json", "vllm/chat-reasoning.json"]
)
def test_a_plain_answer_is_passed_on_byte_for_byte(file: str) -> None:
    body = (RECORDINGS / file).read_bytes()

    done, raw = plain(body)

    assert raw == body
    assert done.finish in ("length", "stop")
    assert done.usage is not None


def test_timings_of_llama_cpp_are_seconds() -> None:
    done, _ = plain((RECORDINGS / "llama.cpp/chat.json").read_bytes())

    assert done.usage == Usage(28, 24, 0)
    assert done.timings is not None
    assert done.timings.prompt_evaluated == 28
    assert done.timings.prompt_seconds == pytest.approx(0.002069)
    assert done.timings.eval_seconds == pytest.approx(0.014112)


def test_a_plain_answer_names_the_model_as_the_client_did() -> None:
    _, raw = plain((RECORDINGS / "llama.cpp/chat.json").read_bytes(), model="mine")

    assert json.loads(raw)["model"] == "mine"


def test_where_the_client_named_none_it_sees_the_nodes() -> None:
    _, raw = plain((RECORDINGS / "llama.cpp/chat.json").read_bytes(), model="")

    assert json.loads(raw)["model"] == "node"


def test_invalid_bytes_and_half_characters_of_a_plain_answer_are_replaced() -> None:
    body = b'{"model":"m","choices":[{"message":{"content":"\xf0\x9f \\ud83d \\ud83d\\ude00"}}]}'

    _, raw = plain(body, model="m")

    assert json.loads(raw)["choices"][0]["message"]["content"] == "\ufffd \ufffd \U0001f600"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Sign in</html>",
        b'{"error":"Unexpected endpoint or method."}',
        b'{"error":{"message":"x"},"choices":[{"message":{}}]}',
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[{"message":7}]}',
        b'{"choices":[{"message":{"content":"cut',
        b"[" * 100_000,
    ],
)
def test_a_200_that_is_no_completion_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamRefused, match="200"):
        plain(body, cut=50_000)


def test_a_plain_answer_has_a_limit() -> None:
    with pytest.raises(UpstreamRefused, match="32 MiB"):
        plain(b"x" * (PLAIN_LIMIT + 1), cut=2**20)


def whole_as_stream(answer: dict[str, Any], *, wants: bool = True) -> list[tuple[object, bytes]]:
    decoder = OpenAiDialect(lambda: 5.0).decoder(call("{}", wants=wants), "m", JSON)
    decoder.feed(json.dumps(answer).encode())
    return [(event, raw or b"") for event, raw in decoder.end()]


def test_a_plain_answer_to_a_stream_becomes_one() -> None:
    message = {"role": "assistant", "content": "Hi"}
    choices = [{"index": 0, "message": message, "finish_reason": "length"}]
    pieces = whole_as_stream({"id": "x", "created": 3, "model": "z", "choices": choices})

    assert [json.loads(raw[6:]) for _, raw in pieces[:-1]] == [
        {
            "id": "x",
            "created": 3,
            "model": "m",
            "object": "chat.completion.chunk",
            "usage": None,
            "choices": [{"index": 0, "delta": message, "finish_reason": "length"}],
        }
    ]
    assert pieces[-1] == (Done("length"), b"")


def test_tools_and_usage_of_a_plain_answer_are_streamed_too() -> None:
    tool = {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}}
    choices = [{"message": {"role": "assistant", "content": None, "tool_calls": [tool]}}]
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    pieces = whole_as_stream({"choices": choices, "usage": usage})

    chunk = json.loads(pieces[0][1][6:])
    assert chunk["choices"][0]["delta"]["tool_calls"] == [{**tool, "index": 0}]
    assert (chunk["id"], chunk["created"]) == ("chatcmpl-r1", 5)
    assert pieces[-1][0] == Done("stop", Usage(3, 2, None))
    assert json.loads(pieces[-1][1][6:])["usage"] == usage
