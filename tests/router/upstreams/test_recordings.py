"""The openai dialect against what real servers said, and against the mistakes users met.

Expectations of `mistakes/` are those of its MISTAKES.md.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dpl_router.conversation import ChatRequest, Delta, Done, Piece, ToolCall, Usage
from dpl_router.errors import DplError, UpstreamBroke, UpstreamRefused
from dpl_router.upstreams.base import Head
from dpl_router.upstreams.openai import OpenAiDialect
from tests.fakes.taken import taken
from tests.router.upstreams.mistakes import BAD, GOOD

RECORDINGS = Path(__file__).parents[2] / "recordings"
MEDIA = {
    ".sse": "text/event-stream",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".ndjson": "application/x-ndjson",
}


@dataclass
class Read:
    """A whole answer, as events and as a client's chunks."""

    pieces: list[Piece]

    @property
    def text(self) -> str:
        return "".join(event.text for event, _ in self.pieces if isinstance(event, Delta))

    @property
    def thinking(self) -> str:
        return "".join(event.thinking for event, _ in self.pieces if isinstance(event, Delta))

    @property
    def tools(self) -> list[ToolCall]:
        return [event for event, _ in self.pieces if isinstance(event, ToolCall)]

    @property
    def done(self) -> Done:
        [done] = [event for event, _ in self.pieces if isinstance(event, Done)]
        assert self.pieces[-1][0] is done
        return done

    @property
    def chunks(self) -> list[dict[str, Any]]:
        stream = b"".join(raw or b"" for _, raw in self.pieces).decode()
        return [json.loads(event.removeprefix("data: ")) for event in stream.split("\n\n") if event]

    def deltas(self) -> list[dict[str, Any]]:
        return [one["choices"][0]["delta"] for one in self.chunks if one["choices"]]

    def finishes(self) -> list[str]:
        said = [one["choices"][0].get("finish_reason") for one in self.chunks if one["choices"]]
        return [finish for finish in said if finish is not None]


def read(file: str, *, cut: int = 0, stream: bool = True, model: str = "test-model") -> Read:
    path = RECORDINGS / file
    call = ChatRequest("r1", model, b"{}", stream, wants_usage=True, prompt_tokens=1)
    head = Head(200, {"content-type": MEDIA[path.suffix]})
    decoder = OpenAiDialect(lambda: 9.0).decoder(call, "node", head)
    data = path.read_bytes()
    pieces: list[Piece] = []
    for at in range(0, len(data), cut or len(data)):
        pieces += taken(decoder.feed(data[at : at + (cut or len(data))]))
    return Read([*pieces, *taken(decoder.end())])


def test_every_mistake_has_its_expectation() -> None:
    files = {path.name for path in (RECORDINGS / "mistakes").iterdir() if path.suffix != ".md"}

    assert {name for name, *_ in [*GOOD, *BAD]} == files


@pytest.mark.parametrize("cut", [0, 1, 7])
@pytest.mark.parametrize(("file", "text", "thinking", "finish"), GOOD, ids=[g[0] for g in GOOD])
def test_a_surprising_stream_is_put_right(
    file: str, text: str, thinking: str, finish: str, cut: int
) -> None:
    answer = read(f"mistakes/{file}", cut=cut)

    assert answer.text == text
    assert answer.thinking == thinking
    assert answer.done.finish == finish
    assert answer.finishes() == [finish]
    assert len({(one["id"], one["created"], one["model"]) for one in answer.chunks}) == 1
    assert [delta.get("role") for delta in answer.deltas()] == [
        "assistant",
        *[None] * (len(answer.deltas()) - 1),
    ]


@pytest.mark.parametrize("cut", [0, 1, 7])
@pytest.mark.parametrize(("file", "words"), BAD, ids=[bad[0] for bad in BAD])
def test_a_stream_that_is_none_is_a_failure(file: str, words: str, cut: int) -> None:
    with pytest.raises(DplError, match=words) as caught:
        read(f"mistakes/{file}", cut=cut)

    assert isinstance(caught.value, UpstreamRefused | UpstreamBroke)


def test_an_error_in_mid_stream_is_never_retried() -> None:
    with pytest.raises(UpstreamBroke):
        read("mistakes/18-event-error-named.sse", cut=64)


def test_an_html_page_is_no_plain_answer_either() -> None:
    with pytest.raises(UpstreamRefused):
        read("mistakes/32-html-page-200.html", stream=False)


@pytest.mark.parametrize("file", ["02-usage-chunk-without-choices-key.sse", "03-choices-null.sse"])
def test_a_usage_chunk_gets_the_choices_that_clients_require(file: str) -> None:
    last = read(f"mistakes/{file}").chunks[-1]

    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 11


def test_a_delta_that_is_null_leaves_as_an_object() -> None:
    assert read("mistakes/04-delta-null.sse").deltas()[-1] == {}


def test_tool_calls_are_kept_apart_by_index() -> None:
    missing = read("mistakes/41-tool-index-missing.sse").tools
    at_one = read("mistakes/43-tool-index-starts-at-one.sse").tools
    empty = read("mistakes/45-tool-id-and-name-empty-strings.sse").tools

    assert [(tool.index, tool.id) for tool in missing] == [(0, "call_1"), (1, "call_2")]
    assert [tool.index for tool in at_one] == [1]
    assert [(tool.id, tool.name) for tool in empty] == [("call_1", "weather"), (None, None)]


def test_cut_arguments_are_nobodys_business() -> None:
    tools = read("mistakes/11-tool-calls-finish-truncated-arguments.sse").tools

    assert "".join(tool.arguments for tool in tools) == '{"text":"unfin'


def test_cumulative_usage_is_the_last_not_the_sum() -> None:
    done = read("mistakes/47-usage-cumulative-in-every-chunk.sse").done

    assert done.usage == Usage(9, 3, None)


REAL = [
    ("llama.cpp/chat-stream.sse", Usage(28, 12, 27), 12),
    ("llama.cpp/chat-stream-no-usage-asked.sse", None, 8),
    ("vllm/chat-stream-usage.sse", Usage(19, 12, 0), None),
    ("vllm/chat-stream-continuous-usage.sse", Usage(19, 8, 0), None),
    ("vllm/chat-stream-n2-logprobs.sse", None, None),
    ("vllm/chat-stream-no-usage.sse", None, None),
    ("vllm/chat-stream-reasoning.sse", Usage(19, 8, None), None),
    ("vllm/chat-stream-tool-named.sse", Usage(21, 80, 0), None),
    ("vllm/chat-stream-tool-required.sse", None, None),
]


@pytest.mark.parametrize(("file", "usage", "timed"), REAL, ids=[real[0] for real in REAL])
def test_a_real_stream_is_passed_on_byte_for_byte(
    file: str, usage: Usage | None, timed: int | None
) -> None:
    answer = read(file, cut=11, model="tiny-random")

    passed = b"".join(raw or b"" for _, raw in answer.pieces) + b"data: [DONE]\n\n"
    real = (RECORDINGS / file).read_bytes()
    assert sorted(passed.split(b"\n\n")) == sorted(real.split(b"\n\n"))
    assert answer.done.finish == "length"
    assert answer.done.usage == usage
    assert (answer.done.timings and answer.done.timings.eval_tokens) == timed


def test_a_named_tool_of_vllm_is_read() -> None:
    tools = read("vllm/chat-stream-tool-named.sse", model="tiny-random").tools

    assert tools[0].name == "get_weather"
    assert tools[0].id == "chatcmpl-tool-b15082f860e169b1"
    assert {tool.index for tool in tools} == {0}
