"""What other servers said, for a client of Ollama's: the odd streams, vLLM, llama.cpp."""

import json
from pathlib import Path
from typing import Any

import pytest

from dpl_router.conversation import ChatRequest, Delta, Done, Piece, ToolCall
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
CUT_CALL = "11-tool-calls-finish-truncated-arguments.sse"


def read(file: str, *, cut: int = 0, stream: bool = True) -> list[Piece]:
    path = RECORDINGS / file
    call = ChatRequest("r1", "mine", b"{}", stream, False, 1, api="ollama.chat")
    decoder = OpenAiDialect().decoder(call, "node", Head(200, {"content-type": MEDIA[path.suffix]}))
    data = path.read_bytes()
    pieces: list[Piece] = []
    for at in range(0, len(data), cut or len(data)):
        pieces += taken(decoder.feed(data[at : at + (cut or len(data))]))
    if not any(isinstance(event, Done) for event, _ in pieces):
        pieces += taken(decoder.end())
    return pieces


def records(pieces: list[Piece]) -> list[dict[str, Any]]:
    lines = b"".join(raw or b"" for _, raw in pieces).decode().split("\n")
    return [json.loads(line) for line in lines if line]


@pytest.mark.parametrize("cut", [0, 1, 7])
@pytest.mark.parametrize(("file", "text", "thinking", "finish"), GOOD, ids=[g[0] for g in GOOD])
def test_a_surprising_stream_becomes_sound_lines(
    file: str, text: str, thinking: str, finish: str, cut: int
) -> None:
    *lines, last = records(read(f"mistakes/{file}", cut=cut))

    said = "".join(line["message"]["content"] for line in lines)
    assert said == ('{"text":"unfin' if file == CUT_CALL else text)
    assert "".join(line["message"].get("thinking", "") for line in lines) == thinking
    assert not any(line["done"] for line in lines)
    assert last["done"] is True
    wanted = "length" if file == CUT_CALL else finish
    assert last["done_reason"] == ("stop" if wanted == "tool_calls" else wanted)
    assert {line["model"] for line in [*lines, last]} == {"mine"}


@pytest.mark.parametrize("cut", [0, 1, 7])
@pytest.mark.parametrize(("file", "words"), BAD, ids=[bad[0] for bad in BAD])
def test_a_stream_that_is_none_is_a_failure(file: str, words: str, cut: int) -> None:
    with pytest.raises(DplError, match=words) as caught:
        read(f"mistakes/{file}", cut=cut)

    assert isinstance(caught.value, UpstreamRefused | UpstreamBroke)


@pytest.mark.parametrize(
    "file",
    ["41-tool-index-missing.sse", "43-tool-index-starts-at-one.sse"],
)
def test_tool_calls_come_whole_and_each_once(file: str) -> None:
    calls = [
        call
        for line in records(read(f"mistakes/{file}"))
        for call in line["message"].get("tool_calls", ())
    ]

    assert len({call["id"] for call in calls}) == len(calls) >= 1
    assert all(isinstance(call["function"]["arguments"], dict) for call in calls)
    assert all(call["function"]["name"] for call in calls)


SERVERS = sorted(
    str(path.relative_to(RECORDINGS))
    for folder in ("vllm", "llama.cpp")
    for path in (RECORDINGS / folder).rglob("chat*.*")
    if path.suffix in (".sse", ".json") and "n2" not in path.name
)


@pytest.mark.parametrize("file", SERVERS)
def test_a_recorded_answer_says_the_same_in_lines(file: str) -> None:
    for cut in (0, 11):
        pieces = read(file, cut=cut, stream=file.endswith(".sse"))
        *lines, last = records(pieces)

        deltas = [event for event, _ in pieces if isinstance(event, Delta)]
        tools = {event.index for event, _ in pieces if isinstance(event, ToolCall)}
        told = [*lines, last]
        content = "".join(line["message"]["content"] for line in told)
        assert content.startswith("".join(delta.text for delta in deltas))
        thinking = "".join(line["message"].get("thinking", "") for line in told)
        assert thinking == "".join(delta.thinking for delta in deltas)
        assert last["done"] is True
        calls = [call for line in told for call in line["message"].get("tool_calls", ())]
        assert len(calls) <= len(tools)
        assert last["total_duration"] >= 0
        if file == "llama.cpp/chat-stream.sse":
            assert last["eval_count"] == 12
            assert last["prompt_eval_count"] == 28
            assert 0 < last["eval_duration"] < 1e9
