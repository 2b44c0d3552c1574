"""llama.cpp: plain answers out of streams, against what the same server answered plainly."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dpl_router.conversation import ChatRequest, Delta, Done, Event, Piece, ToolCall
from dpl_router.errors import ClientGone, UpstreamBroke, UpstreamRefused
from dpl_router.upstreams.assembled import Assembled
from dpl_router.upstreams.auto import AutoDialect
from dpl_router.upstreams.base import Decoder, Dialect, Head
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.openai import OpenAiDialect
from dpl_router.upstreams.whole import PLAIN_LIMIT
from tests.contract.asking import asking, until
from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.taken import taken
from tests.router.upstreams.chunks import DONE, chunk, event, role, text

RECORDINGS = Path(__file__).parents[2] / "recordings"
PAIRS = RECORDINGS / "llama.cpp" / "pairs"
SSE = Head(200, {"content-type": "text/event-stream"})
JSON = Head(200, {"content-type": "application/json; charset=utf-8"})
MODEL = "smollm2:135m"


def call(body: str = "{}", *, stream: bool = False, model: str = MODEL) -> ChatRequest:
    return ChatRequest("r1", model, body.encode(), stream, wants_usage=False, prompt_tokens=1)


def decoder(*, model: str = MODEL) -> Decoder:
    return LlamaCppDialect(lambda: 5.0).decoder(call(model=model), "node", SSE)


def read(data: bytes, *, cut: int = 0, model: str = MODEL) -> list[Piece]:
    reader = decoder(model=model)
    step = cut or max(1, len(data))
    pieces: list[Piece] = []
    for at in range(0, len(data), step):
        pieces += taken(reader.feed(data[at : at + step]))
    return [*pieces, *taken(reader.end())]


def whole(pieces: list[Piece]) -> Any:
    assert [raw for _, raw in pieces[:-1]] == [b""] * (len(pieces) - 1)
    return json.loads(pieces[-1][1] or b"")


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from one answer to the next: ids, and how long it took."""
    for choice in answer["choices"]:
        for tool in choice["message"].get("tool_calls", ()):
            tool["id"] = bool(tool["id"])
    counts = {key: n for key, n in answer["timings"].items() if key.endswith("_n")}
    return {**answer, "id": "", "created": 0, "timings": counts}


def said(pieces: list[Piece]) -> tuple[str, str, list[ToolCall], Event, Any]:
    """All but where it was cut: alike events that come together are told as one."""
    deltas = [event for event, _ in pieces if isinstance(event, Delta)]
    text = "".join(delta.text for delta in deltas)
    thinking = "".join(delta.thinking for delta in deltas)
    tools = [event for event, _ in pieces if isinstance(event, ToolCall)]
    return text, thinking, tools, pieces[-1][0], whole(pieces)


def recorded(name: str) -> tuple[dict[str, Any], bytes]:
    return json.loads((PAIRS / f"{name}.json").read_bytes()), (PAIRS / f"{name}.sse").read_bytes()


SAME = [
    "call-cut",
    "calls",
    "emoji",
    "empty",
    "length",
    "logprobs",
    "n2",
    "progress",
    "schema",
    "thinking",
]
DIFFERENT = ["cut-fence", "logprobs-stop"]


def test_every_recorded_pair_is_compared() -> None:
    assert {path.stem for path in PAIRS.glob("*.sse")} == {*SAME, *DIFFERENT}


@pytest.mark.parametrize("name", SAME)
def test_what_is_assembled_is_what_the_server_answers_plainly(name: str) -> None:
    plain, stream = recorded(name)

    assert comparable(whole(read(stream, model=plain["model"]))) == comparable(plain)


def test_a_cut_in_what_may_become_json_loses_its_last_characters() -> None:
    plain, stream = recorded("cut-fence")
    assembled = whole(read(stream))

    assert plain["choices"][0]["message"].pop("content") == "```js"
    assert assembled["choices"][0]["message"].pop("content") == ""
    assert comparable(assembled) == comparable(plain)


def test_logprobs_of_the_end_of_the_text_are_not_told() -> None:
    plain, stream = recorded("logprobs-stop")
    assembled = whole(read(stream, model=plain["model"]))

    assert plain["choices"][0]["logprobs"]["content"].pop()["token"] == ""
    assert comparable(assembled) == comparable(plain)


@pytest.mark.parametrize("name", [*SAME, *DIFFERENT])
def test_a_stream_cut_anywhere_makes_the_same_answer(name: str) -> None:
    _, stream = recorded(name)
    uncut = said(read(stream))

    for cut in (1, 2, 3, 5, 7, 64, 1000):
        assert said(read(stream, cut=cut)) == uncut


def test_every_two_parts_of_a_stream_make_the_same_answer() -> None:
    _, stream = recorded("call-cut")
    uncut = said(read(stream))

    for at in range(len(stream)):
        reader = decoder()
        pieces = [*reader.feed(stream[:at]), *reader.feed(stream[at:]), *reader.end()]
        assert said(pieces) == uncut


def test_what_was_said_is_told_as_it_comes() -> None:
    _, stream = recorded("calls")
    events = [event for event, _ in read(stream)]

    calls = [event for event in events if isinstance(event, ToolCall)]
    assert [call.name for call in calls if call.name] == ["weather", "weather"]
    assert "".join(call.arguments for call in calls if call.index == 1) == '{"city": "Cairo"}'
    assert isinstance(events[-1], Done)
    assert events[-1].finish == "tool_calls"
    assert events[-1].usage is not None
    assert events[-1].usage.completion_tokens == 60
    assert events[-1].timings is not None
    assert events[-1].timings.eval_tokens == 60


def test_the_first_token_is_told_before_the_end() -> None:
    reader = decoder()

    assert reader.feed(role()) == []
    assert reader.feed(text("Hel")) == [(Delta(""), b""), (Delta("Hel"), b"")]


def test_the_client_sees_the_name_that_it_used() -> None:
    _, stream = recorded("length")

    assert whole(read(stream, model="mine"))["model"] == "mine"
    assert whole(read(stream, model=""))["model"] == "node"


def test_thoughts_keep_the_name_that_the_node_gave_them() -> None:
    thoughts = [chunk({"role": "assistant", "reasoning": "h"}), chunk({"reasoning": "m"})]
    stream = b"".join([*thoughts, text("Hi"), chunk(finish="stop"), DONE])

    message = whole(read(stream))["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "Hi", "reasoning": "hm"}


def test_an_answer_without_usage_and_timings_has_none() -> None:
    assert whole(read(role("Hi") + chunk(finish="stop") + DONE)) == {
        "choices": [
            {
                "finish_reason": "stop",
                "index": 0,
                "message": {"role": "assistant", "content": "Hi"},
            }
        ],
        "id": "x",
        "created": 7,
        "model": MODEL,
        "object": "chat.completion",
    }


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        role() + text("Hel"),
        event({"choices": [], "usage": {"prompt_tokens": 1}}) + DONE,
        event({"error": {"message": "no"}}),
        chunk({"role": "assistant"}, logprobs=None) + event({"error": {"message": "no"}}),
        event({"choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": 7}]}) + text("y"),
    ],
)
def test_an_answer_without_its_end_is_none(stream: bytes) -> None:
    with pytest.raises((UpstreamRefused, UpstreamBroke)):
        read(stream)


def test_an_error_after_the_first_token_is_a_broken_answer() -> None:
    reader = decoder()
    reader.feed(role("Hel"))

    with pytest.raises(UpstreamBroke, match="Compute error"):
        reader.feed(event({"error": {"message": "Compute error."}}))


def test_an_assembled_answer_has_a_limit() -> None:
    reader = decoder()
    piece = text("x" * 1_000_000)

    for _ in range(PLAIN_LIMIT // 1_000_100):
        reader.feed(piece)

    with pytest.raises(UpstreamBroke, match="32 MiB"):
        reader.feed(piece)


# What is asked.


def test_a_plain_call_is_asked_for_as_a_stream_with_usage() -> None:
    body = '{"model":"m","stream":false,"stream_options":{"include_usage":false},"x": 1.0}'

    request = LlamaCppDialect().request(call(body, model="m"), "m")

    assert request.body == (
        b'{"model":"m","stream":true,"stream_options":{"include_usage":true},"x":1.0}'
    )
    assert request.headers["Accept"] == "text/event-stream"


PLAINLY = [
    '{"tools":[{"type":"function"}],"logprobs":true,"messages":[{"role":"user"}]}',
    '{"messages":[{"role":"user"},{"role":"assistant","content":"Once"}]}',
]


@pytest.mark.parametrize("body", PLAINLY)
def test_what_a_stream_does_not_tell_is_asked_for_plainly(body: str) -> None:
    dialect = LlamaCppDialect()

    assert dialect.request(call(body, model="m"), "m").body == body.encode()
    assert not isinstance(dialect.decoder(call(body), "m", JSON), Assembled)


@pytest.mark.parametrize(
    "body",
    [
        '{"tools":[],"logprobs":true}',
        '{"tools":[{"type":"function"}],"logprobs":false}',
        '{"messages":[{"role":"assistant"},{"role":"user"}]}',
        '{"messages":7}',
    ],
)
def test_all_else_is_asked_for_as_a_stream(body: str) -> None:
    sent = json.loads(LlamaCppDialect().request(call(body, model="m"), "m").body)

    assert sent["stream"] is True


def test_a_stream_is_the_openai_dialects() -> None:
    asked = call('{"model":"m","stream":true}', stream=True, model="m")

    assert LlamaCppDialect().request(asked, "m") == OpenAiDialect().request(asked, "m")
    assert not isinstance(LlamaCppDialect().decoder(asked, "m", SSE), Assembled)


# Who is recognised.

LLAMACPP = (RECORDINGS / "llama.cpp" / "v1-models.json").read_bytes()
VLLM = (RECORDINGS / "vllm" / "v1-models.json").read_bytes()
MIXED = b'{"data":[{"id":"a","owned_by":"llamacpp"},{"id":"b","owned_by":7},{"id":"c"}]}'


def streams(dialect: Dialect) -> bool:
    """Plain calls are asked for as streams."""
    return b"stream" in dialect.request(call("{}", model="m"), "m").body


def test_a_node_of_unknown_kind_is_known_by_its_list_of_models() -> None:
    dialect = AutoDialect()
    seen = [streams(dialect)]
    for listed in (LLAMACPP, b'{"data":[]}', VLLM, MIXED, LLAMACPP):
        dialect.read_models([listed])
        seen.append(streams(dialect))

    assert seen == [False, True, True, False, False, True]


def test_a_list_that_comes_while_a_call_runs_changes_nothing_for_that_call() -> None:
    """What was asked for plainly comes as JSON, whatever the node was found to be since."""
    dialect = AutoDialect()
    sent_plainly = call("{}")
    dialect.read_models([LLAMACPP])
    plain, stream = recorded("length")

    reader = dialect.decoder(sent_plainly, "m", JSON)
    assert not reader.feed(json.dumps(plain).encode())
    assert whole(list(reader.end())) == plain

    dialect.read_models([VLLM])
    reader = dialect.decoder(call("{}"), "m", SSE)
    assert comparable(whole([*reader.feed(stream), *reader.end()])) == comparable(plain)


# A hang-up.


@asynccontextmanager
async def leaving(dialect: Dialect, node: FakeOpenAi, pieces: list[Piece]) -> AsyncIterator[None]:
    """A client that left a plain call while the node writes."""
    async with asking(dialect, node.url, "") as client:
        await client.models()
        running = asyncio.create_task(client.ask(stream=False, into=pieces))
        await until(lambda: node.state.predicted_tokens, 5)
        await asyncio.sleep(0.05)
        assert client.stream is not None
        client.stream.abort(ClientGone("bye"))
        with pytest.raises(ClientGone):
            await running
        yield


@pytest.mark.parametrize("dialect", [LlamaCppDialect(), AutoDialect()])
async def test_a_hang_up_on_a_plain_call_is_heard_by_a_node_that_is_deaf_to_it(
    dialect: Dialect,
) -> None:
    """A real llama.cpp, asked plainly, wrote on for 8 s."""
    pieces: list[Piece] = []
    with FakeOpenAi() as node:
        node.faults = Faults(deaf=True, token_delay=30)
        async with leaving(dialect, node, pieces):
            await until(lambda: node.hang_ups)

    assert pieces == [(Delta(""), b""), (Delta("Hello"), b"")]


async def test_the_fake_is_as_deaf_on_a_plain_call_as_the_real_one() -> None:
    with FakeOpenAi() as node:
        node.faults = Faults(deaf=True, token_delay=0.1)
        async with leaving(OpenAiDialect(), node, []):
            await until(lambda: node.finished, 5)

    assert not node.hang_ups
