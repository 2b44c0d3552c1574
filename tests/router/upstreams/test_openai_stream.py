"""The stream decoder: every client sees one id, one model, one role, one finish reason."""

from typing import Any

from dpl_router.conversation import Delta, Done, Timings, ToolCall, Usage
from dpl_router.errors import UpstreamBroke
from dpl_router.upstreams.openai_stream import PREFACE_LIMIT
from tests.router.upstreams.chunks import (
    DONE,
    chunk,
    decoder,
    event,
    events,
    failure,
    role,
    run,
    seen,
    text,
    tool,
)


def test_what_need_not_change_is_passed_on_byte_for_byte() -> None:
    parts = [role(), text("Hel"), text("lo"), chunk({}, "stop")]

    pieces = run(*parts, DONE)

    assert [raw for _, raw in pieces] == [*parts, b""]
    assert events(pieces) == [Delta(""), Delta("Hel"), Delta("lo"), Delta(""), Done("stop")]


def test_events_that_come_together_leave_together() -> None:
    assert len(decoder().feed(role() + text("a") + text("b"))) == 3


def test_an_event_that_says_null_is_none() -> None:
    pieces = run(b"data: null\n\n", role("a"), chunk({}, "stop"), DONE)

    assert events(pieces) == [Delta("a"), Delta(""), Done("stop")]


def test_done_comes_once_and_nothing_after_it() -> None:
    reader = decoder()

    pieces = reader.feed(role() + chunk({}, "stop") + DONE + text("late") + DONE)

    assert events(pieces) == [Delta(""), Delta(""), Done("stop")]
    assert reader.feed(text("later")) == []
    assert reader.end() == []


def test_the_model_is_the_one_that_the_client_used() -> None:
    pieces = run(role(), text("a"), chunk({}, "stop"), DONE, model="mine")

    assert {one["model"] for one in seen(pieces)} == {"mine"}


def test_id_and_created_are_those_of_the_first_chunk() -> None:
    other = chunk({"content": "a"}, id="y", created=8)
    last = chunk({}, "stop", id="", created=None)

    chunks = seen(run(role(), other, last, DONE))

    assert {(one["id"], one["created"]) for one in chunks} == {("x", 7)}


def test_where_the_node_has_no_id_we_make_one() -> None:
    chunks = seen(run(chunk({"role": "assistant"}, id="", created=0), chunk({}, "stop"), DONE))

    assert {(one["id"], one["created"]) for one in chunks} == {("chatcmpl-r1", 1234)}


def test_the_role_is_told_once_and_first() -> None:
    twice = seen(run(role("a"), role("b"), chunk({}, "stop"), DONE))
    never = seen(run(text("a"), chunk({}, "stop"), DONE))

    assert [one["choices"][0]["delta"].get("role") for one in twice] == ["assistant", None, None]
    assert never[0]["choices"][0]["delta"] == {"role": "assistant", "content": "a"}


def test_a_finish_reason_that_was_not_the_last_is_taken_back() -> None:
    parts = [role(), chunk({"reasoning": "a"}, "stop"), chunk({"content": "b"}, "stop")]

    pieces = run(*parts, chunk({}, "length"), DONE)

    reasons = [one["choices"][0]["finish_reason"] for one in seen(pieces)]
    assert reasons == [None, None, None, "length"]
    assert events(pieces)[1:3] == [Delta("", "a"), Delta("b")]


def test_each_choice_has_its_own_role_and_finish() -> None:
    second = [chunk({"role": "assistant", "content": "B"}, index=1), chunk({}, "length", index=1)]

    pieces = run(role("A"), second[0], chunk({}, "stop"), second[1], DONE)

    assert events(pieces) == [Delta("A"), Delta(""), Delta(""), Delta(""), Done("stop")]
    assert [one["choices"][0]["index"] for one in seen(pieces)] == [0, 1, 0, 1]


def test_a_chunk_with_two_choices_becomes_two() -> None:
    both = [{"index": at, "delta": {"content": str(at)}} for at in (0, 1)]
    ends: list[dict[str, Any]] = [
        {"index": at, "delta": {}, "finish_reason": "stop"} for at in (0, 1)
    ]

    chunks = seen(run(event({"model": "m", "choices": both}), event({"choices": ends}), DONE))

    assert [len(one["choices"]) for one in chunks] == [1, 1, 1, 1]
    assert [one["choices"][0]["delta"].get("content") for one in chunks] == ["0", "1", None, None]


def test_a_good_end_of_only_one_choice_is_none() -> None:
    assert isinstance(failure(role(), chunk({}, index=1), chunk({}, "stop"), DONE), UpstreamBroke)


def test_usage_and_timings_are_told_with_done() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    timings = {"prompt_n": 5, "prompt_ms": 250, "predicted_n": 2, "predicted_ms": 20.0}
    last = event({"id": "y", "choices": [], "usage": usage, "timings": timings})

    pieces = run(role(), chunk({}, "stop"), last, DONE)

    assert pieces[-1][0] == Done("stop", Usage(9, 2, 4), Timings(5, 0.25, 2, 0.02))
    assert seen(pieces[-1:])[0]["usage"] == usage
    assert seen(pieces[-1:])[0]["id"] == "x"


def test_timings_may_be_incomplete() -> None:
    pieces = run(role(), chunk({}, "stop", timings={}), DONE)

    assert pieces[-1][0] == Done("stop", None, Timings())


def test_the_usage_chunk_is_the_clients_only_if_asked() -> None:
    last = event({"choices": [], "usage": {"prompt_tokens": 9}})

    pieces = run(role(), chunk({}, "stop"), last, DONE, wants_usage=False)

    assert pieces[-1] == (Done("stop", Usage(9, None, None)), b"")


def test_cumulative_usage_is_kept_not_added() -> None:
    parts = [chunk({"content": "a"}, usage={"completion_tokens": n}) for n in (1, 2, 3)]

    assert run(*parts, chunk({}, "stop"), DONE)[-1][0] == Done("stop", Usage(None, 3, None))


def test_chunks_without_choices_before_the_first_wait_for_its_id() -> None:
    preface = event({"id": "", "model": "", "choices": [], "filter": "ok"})
    reader = decoder()

    assert reader.feed(preface) == []
    [piece] = reader.feed(role("a"))

    assert piece[0] == Delta("a")
    assert [one["id"] for one in seen([piece])] == ["x", "x"]


def test_prefaces_without_end_fill_nothing() -> None:
    reader = decoder()
    preface = event({"choices": [], "filter": "x" * 1000})
    for _ in range(PREFACE_LIMIT // 500):
        reader.feed(preface)

    [(_, raw)] = reader.feed(role("a"))

    assert len(raw or b"") < 2 * PREFACE_LIMIT


def test_chunks_without_choices_in_the_middle_go_on() -> None:
    pieces = run(role(), event({"choices": [], "filter": "ok"}), chunk({}, "stop"), DONE)

    assert events(pieces)[1] == Delta("")
    assert seen(pieces)[1]["filter"] == "ok"


def test_reasoning_is_thinking_under_each_of_its_names() -> None:
    parts = [chunk({"reasoning": "a"}), chunk({"reasoning_content": "b"})]
    mixed = [{"type": "thinking", "thinking": [{"text": "c"}]}, {"text": "d"}, {"thinking": 7}, 8]
    listed = chunk({"content": mixed})

    pieces = run(role(), *parts, listed, chunk({}, "stop"), DONE)

    assert events(pieces)[1:4] == [Delta("", "a"), Delta("", "b"), Delta("d", "c")]


def test_tool_calls_are_told_in_pieces() -> None:
    first = {"content": "so", **tool(index=0, id="c", function={"name": "f", "arguments": ""})}
    parts = [role(), chunk(first), chunk(tool(index=0, function={"arguments": "{}"}))]

    pieces = run(*parts, chunk({}, "tool_calls"), DONE)

    assert events(pieces)[1:4] == [
        Delta("so"),
        ToolCall(0, "c", "f", ""),
        ToolCall(0, None, None, "{}"),
    ]
    assert [raw for _, raw in pieces[1:4]] == [parts[1], b"", parts[2]]


def test_a_tool_call_without_index_is_placed_by_its_id() -> None:
    parts = [
        chunk(tool(id="a", function={"name": "f", "arguments": "1"})),
        chunk(tool(id="b", function={"name": "g"})),
        chunk(tool(function={"arguments": "2"})),
        chunk(tool(id="a", function={"arguments": "3"})),
    ]

    pieces = run(role(), *parts, chunk({}, "tool_calls"), DONE)

    places = [event.index for event, _ in pieces if isinstance(event, ToolCall)]
    told = [one["choices"][0]["delta"]["tool_calls"][0]["index"] for one in seen(pieces)[1:5]]
    assert places == told == [0, 1, 1, 0]


def test_the_first_tool_call_may_have_neither_index_nor_id() -> None:
    pieces = run(role(), chunk(tool(function=None)), chunk({}, "tool_calls"), DONE)

    assert events(pieces)[1] == ToolCall(0, None, None, "")


def test_an_index_is_a_key_and_stays() -> None:
    pieces = run(role(), chunk(tool(index=5, id="a")), chunk({}, "tool_calls"), DONE)

    assert events(pieces)[1] == ToolCall(5, "a", None, "")


def test_empty_ids_and_names_overwrite_nothing() -> None:
    parts = [chunk(tool(index=0, id="", function={"name": "", "arguments": "1"}))]

    pieces = run(role(), *parts, chunk({}, "tool_calls"), DONE)

    assert seen(pieces)[1]["choices"][0]["delta"] == tool(index=0, function={"arguments": "1"})
