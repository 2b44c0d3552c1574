"""What no reader of ours says today, and a writer must know all the same."""

import json
from typing import Any

import pytest

from dpl_router.conversation import (
    Api,
    ChatRequest,
    Delta,
    Done,
    Event,
    Piece,
    Timings,
    ToolCall,
    Usage,
    Vectors,
)
from dpl_router.loose_json import ODD
from dpl_router.translation.ollama_writer import ollama_writer
from dpl_router.translation.openai_writer import openai_writer
from dpl_router.translation.writer import Worded, Writer


def call(api: Api, stream: bool = True) -> ChatRequest:
    return ChatRequest("r1", "m", b"{}", stream, True, 1, api=api, arrived=100.0)


def told(writer: Writer, *events: Any) -> list[dict[str, Any]]:
    data = b"".join(writer.write(event) for event in events).decode()
    return [json.loads(line.removeprefix("data: ")) for line in data.split("\n") if line]


PIECES = (
    ToolCall(0, "c1", "weather", ""),
    ToolCall(0, None, None, '{"city":'),
    ToolCall(0, None, None, '"Rome"}'),
    Done("tool_calls"),
)


def test_a_tool_call_in_pieces_is_named_once_to_an_openai_client() -> None:
    first, *rest, _ = told(openai_writer(call("openai.chat"), "m", 7), *PIECES)

    begun = first["choices"][0]["delta"]["tool_calls"][0]
    assert (begun["id"], begun["function"]["name"]) == ("c1", "weather")
    assert [one["choices"][0]["delta"] for one in rest] == [
        {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
        for part in ('{"city":', '"Rome"}')
    ]


def test_a_tool_call_in_pieces_is_told_whole_to_an_ollama_client() -> None:
    called, last = told(ollama_writer(call("ollama.chat"), "m", lambda: 101.0), *PIECES)

    [tool] = called["message"]["tool_calls"]
    assert tool["function"] == {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}
    assert last["done_reason"] == "stop"


def test_tool_calls_whose_pieces_come_in_turns_are_told_whole_to_an_ollama_client() -> None:
    """vLLM and SGLang write several calls side by side."""
    pieces = (
        ToolCall(0, "a", "f", '{"x":'),
        ToolCall(1, "b", "g", '{"y":'),
        Delta("Let me see."),
        ToolCall(0, None, None, "1}"),
        ToolCall(1, None, None, "2}"),
        Done("tool_calls"),
    )

    said, called, last = told(ollama_writer(call("ollama.chat"), "m", lambda: 101.0), *pieces)

    assert said["message"]["content"] == "Let me see."
    assert called["message"]["content"] == ""
    assert [one["function"]["arguments"] for one in called["message"]["tool_calls"]] == [
        {"x": 1},
        {"y": 2},
    ]
    assert last["done_reason"] == "stop"


def test_invented_ids_are_unlike() -> None:
    calls = [ToolCall(at, None, "weather", "{}") for at in range(50)]
    whole = told(openai_writer(call("openai.chat", stream=False), "m", 7), *calls, Done("stop"))

    ids = {one["id"] for one in whole[0]["choices"][0]["message"]["tool_calls"]}
    assert len(ids) == 50
    assert all(id_.startswith("call_") for id_ in ids)


@pytest.mark.parametrize("stream", [True, False])
def test_durations_that_the_node_does_not_tell_are_what_the_clock_showed(stream: bool) -> None:
    times = iter([102.0, 102.0, 105.0, 105.0] if stream else [102.0, 105.0, 105.0])
    writer = ollama_writer(call("ollama.chat", stream), "m", lambda: next(times))

    last = told(writer, Delta("Hi"), Done("stop", Usage(3, 2)))[-1]

    assert last["total_duration"] == 5_000_000_000
    assert last["prompt_eval_duration"] == 2_000_000_000
    assert last["eval_duration"] == 3_000_000_000
    assert last["load_duration"] == 0
    assert (last["prompt_eval_count"], last["eval_count"]) == (3, 2)
    assert last["created_at"] == "1970-01-01T00:01:45.000000Z"


def test_durations_that_the_node_tells_are_told() -> None:
    timings = Timings(9, 0.25, 4, 0.5, load_seconds=1.5)
    writer = ollama_writer(call("ollama.generate"), "m", lambda: 105.0)

    [last] = told(writer, Done("length", Usage(9, 4), timings))

    assert last["load_duration"] == 1_500_000_000
    assert last["prompt_eval_duration"] == 250_000_000
    assert last["eval_duration"] == 500_000_000
    assert last["done_reason"] == "length"
    assert last["response"] == ""


def test_a_count_that_nobody_knows_is_left_out() -> None:
    [last] = told(ollama_writer(call("ollama.chat"), "m", lambda: 105.0), Done(None))
    [plain] = told(openai_writer(call("openai.chat", stream=False), "m", 7), Done(None))

    assert "eval_count" not in last
    assert plain["usage"] is None


class Told:
    """A reader to which the node said `event`."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def feed(self, data: bytes) -> list[Piece]:
        return [(self._event, b"")]

    def end(self) -> list[Piece]:
        return [(self._event, b"")]


@pytest.mark.parametrize(
    ("api", "event"),
    [
        ("openai.embedding", Vectors([[1e308]])),  # no 32-bit float, as base64 has them
        ("openai.completion", Delta("a", logprobs=[{"logprob": -1}])),
    ],
)
def test_what_cannot_be_told_to_the_client_is_an_odd_value(api: Api, event: Event) -> None:
    """An attempt tells that as an answer which cannot be read."""
    asked = ChatRequest("r1", "m", b'{"encoding_format":"base64"}', True, True, 1, api=api)
    worded = Worded(Told(event), openai_writer(asked, "m", 7))

    with pytest.raises(ODD):
        worded.feed(b"x")
    with pytest.raises(ODD):
        worded.end()
