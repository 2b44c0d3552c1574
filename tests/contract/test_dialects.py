"""Promise 3: one suite for every dialect against its fake.

A new dialect is one line in CASES. Its fake is tests/fakes/openai.py with a `link` that streams in
its format, or a context manager that has what is used of that one here, and the same Faults.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pytest

from dpl_router.conversation import Delta, Done, Piece, ToolCall
from dpl_router.errors import (
    ClientGone,
    DplError,
    RequestRefused,
    UpstreamBroke,
    UpstreamError,
    UpstreamRefused,
    UpstreamSilent,
    UpstreamUnreachable,
)
from dpl_router.upstreams.base import Dialect
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect
from dpl_router.upstreams.transport import Timeouts
from tests.contract.asking import Client, asking, until
from tests.fakes.faults import Faults
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAi

SECRET = "sk-this-must-never-be-told"
TOKENS = ["Hel", "lo", " wörld", " \U0001f600", " a\u2028b\u2029c\x85d", "."]
TEXT = "".join(TOKENS)
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


Fake = FakeOpenAi | FakeOllama
Word = Literal["usage", "timings", "tools", "length"]


@dataclass(frozen=True)
class Case:
    """A dialect and the server that speaks it."""

    dialect: Callable[[], Dialect]
    fake: Callable[..., Fake]
    lists: str = "tiny"
    """How it spells the model `tiny` in its list."""
    untold: frozenset[Word] = frozenset()
    """What the protocol has no words for; nothing else may be missing."""


CASES = {
    "openai": Case(OpenAiDialect, FakeOpenAi),
    "llamacpp": Case(LlamaCppDialect, FakeOpenAi),
    "ollama": Case(OllamaDialect, FakeOllama, "tiny:latest"),
    "ollama without /api/chat": Case(
        OllamaDialect, partial(FakeOllama, without_chat=True), "tiny:latest", frozenset({"tools"})
    ),
}


def told(word: Word) -> pytest.MarkDecorator:
    """Only the dialects that can tell it."""
    telling = [name for name, case in CASES.items() if word not in case.untold]
    return pytest.mark.parametrize("case", telling, indirect=True)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def node(case: Case) -> Iterator[Fake]:
    with case.fake(model="tiny", tokens=TOKENS) as node:
        yield node


@pytest.fixture
async def client(case: Case, node: Fake) -> AsyncIterator[Client]:
    async with asking(case.dialect(), node.url, SECRET) as client:
        yield client


def text(pieces: list[Piece]) -> str:
    return "".join(event.text for event, _ in pieces if isinstance(event, Delta))


def done(pieces: list[Piece]) -> Done:
    event, _ = pieces[-1]
    assert isinstance(event, Done)
    return event


def chunks(pieces: list[Piece]) -> list[dict[str, Any]]:
    stream = b"".join(raw or b"" for _, raw in pieces).decode()
    return [json.loads(event.removeprefix("data: ")) for event in stream.split("\n\n") if event]


async def test_the_models_of_the_node_are_listed(client: Client, case: Case) -> None:
    assert await client.models() == [case.lists]


async def test_a_stream_arrives_whole_and_says_its_end(client: Client) -> None:
    pieces = await client.ask()

    assert text(pieces) == TEXT
    assert done(pieces).finish == "stop"
    assert (
        "".join(
            one["choices"][0]["delta"].get("content") or ""
            for one in chunks(pieces)
            if one["choices"]
        )
        == TEXT
    )


async def test_the_first_token_does_not_wait_for_the_second(client: Client, node: Fake) -> None:
    node.faults = Faults(token_delay=30)
    seen: list[Piece] = []
    running = asyncio.create_task(client.ask(into=seen))

    await until(lambda: text(seen) == TOKENS[0], 5)
    running.cancel()


@told("usage")
async def test_tokens_are_counted_by_the_node(client: Client) -> None:
    for stream in (True, False):
        usage = done(await client.ask(stream=stream)).usage

        assert usage is not None
        assert usage.completion_tokens == len(TOKENS)
        assert (usage.prompt_tokens or 0) > 0


@told("timings")
async def test_the_engines_own_times_are_told_in_seconds(client: Client) -> None:
    timings = done(await client.ask()).timings

    assert timings is not None
    assert timings.eval_tokens == len(TOKENS)
    assert timings.eval_seconds == pytest.approx(0.008 * len(TOKENS))


async def test_a_plain_answer_comes_whole_with_its_end(client: Client) -> None:
    *before, (event, raw) = await client.ask(stream=False)

    assert isinstance(event, Done)
    assert event.finish == "stop"
    assert all(raw == b"" for _, raw in before)
    answer = json.loads(raw or b"")
    assert answer["choices"][0]["message"]["content"] == TEXT
    assert answer["object"] == "chat.completion"


async def test_the_client_sees_the_name_that_it_used(client: Client, node: Fake) -> None:
    pieces = await client.ask(model="mine")

    assert {one["model"] for one in chunks(pieces)} == {"mine"}
    assert node.chats[-1].json["model"] == "tiny"


@told("length")
async def test_a_cut_by_length_is_told(client: Client) -> None:
    pieces = await client.ask(max_tokens=2)

    assert text(pieces) == "".join(TOKENS[:2])
    assert done(pieces).finish == "length"


@told("tools")
async def test_a_tool_is_called(client: Client) -> None:
    pieces = await client.ask(tools=[TOOL])

    calls = [event for event, _ in pieces if isinstance(event, ToolCall)]
    assert calls[0].name == "weather"
    assert calls[0].id
    assert json.loads("".join(call.arguments for call in calls)) == {"city": "Paris"}
    assert done(pieces).finish == "tool_calls"


async def test_bytes_that_drip_one_by_one_make_the_same_answer(client: Client, node: Fake) -> None:
    """So every character and every separator is cut once."""
    node.faults = Faults(drip=0.0)

    pieces = await client.ask()

    assert text(pieces) == TEXT


async def test_a_refusal_of_the_request_is_the_clients(client: Client, node: Fake) -> None:
    node.faults = Faults(status=400, body='{"error":{"message":"too long"}}')

    with pytest.raises(RequestRefused, match="too long") as caught:
        await client.ask()

    assert caught.value.status == 400


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
async def test_any_other_refusal_lets_another_node_try(
    client: Client, node: Fake, status: int
) -> None:
    node.faults = Faults(status=status, retry_after="7")

    with pytest.raises(UpstreamRefused) as caught:
        await client.ask()

    assert caught.value.upstream_status == status
    assert caught.value.retry_after == (None if status == 401 else 7)


EARLY: dict[str, Faults] = {
    "reset": Faults(die="before_head"),
    "closed": Faults(die="before_head", reset=False),
    "reset after the head": Faults(die="after_head"),
    "closed after the head": Faults(die="after_head", reset=False),
    "no http": Faults(garbage=True),
    "a page": Faults(raw="<html>Sign in</html>", content_type="text/html"),
    "an error with 200": Faults(raw='{"error":"no"}', content_type="application/json"),
    "an error event": Faults(error_after=0),
    "nothing": Faults(raw=" "),
    "a line without an end": Faults(raw="data: " + "x" * 2**20),
}


@pytest.mark.parametrize("fault", EARLY.values(), ids=EARLY)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_death_before_the_first_token_lets_another_node_try(
    client: Client, node: Fake, fault: Faults, stream: bool
) -> None:
    if not stream and fault.error_after == 0:
        fault = Faults(status=500)
    node.faults = fault
    pieces: list[Piece] = []

    with pytest.raises((UpstreamUnreachable, UpstreamRefused)):
        await client.ask(stream=stream, into=pieces)

    assert not pieces


@pytest.mark.parametrize("place", ["before_head", "after_head"])
async def test_a_silent_node_is_given_up(client: Client, node: Fake, place: Any) -> None:
    node.faults = Faults(hang=place)

    with pytest.raises(UpstreamSilent):
        await client.ask(times=Timeouts(first_byte=0.1))

    await until(lambda: node.open == 0)


LATE: dict[str, Faults] = {
    "reset": Faults(die="after_tokens", after=2),
    "closed": Faults(die="after_tokens", after=2, reset=False),
    "a clean end without the last word": Faults(die="after_tokens", after=2, clean_cut=True),
    "an error event": Faults(error_after=2, token_delay=0.05),
    "silence": Faults(hang="after_tokens", after=2),
}


@pytest.mark.parametrize("fault", LATE.values(), ids=LATE)
async def test_death_after_the_first_token_breaks_the_answer(
    client: Client, node: Fake, fault: Faults
) -> None:
    node.faults = fault
    pieces: list[Piece] = []

    with pytest.raises(UpstreamBroke):
        await client.ask(times=Timeouts(idle=0.2), into=pieces)

    assert TEXT.startswith(text(pieces))
    assert not any(isinstance(event, Done) for event, _ in pieces)


@pytest.mark.parametrize(
    "fault",
    [Faults(head_delay=30), Faults(first_delay=30), Faults(token_delay=30)],
    ids=["before the head", "before the first token", "in mid-stream"],
)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_a_cancelled_client_is_heard_by_the_node_within_a_second(
    client: Client, node: Fake, fault: Faults, stream: bool
) -> None:
    node.faults = fault
    running = asyncio.create_task(client.ask(stream=stream))
    await until(lambda: node.open == 1, 5)
    await asyncio.sleep(0.05)
    assert client.stream is not None
    left_at = time.monotonic()

    client.stream.abort(ClientGone("bye"))

    with pytest.raises(ClientGone):
        await running
    await until(lambda: node.hang_ups)
    assert node.hang_ups[0] - left_at < 1.0
    assert (node.open, client.pool.idle) == (0, 0)


async def test_a_node_that_closes_idle_connections_costs_no_request(
    client: Client, node: Fake
) -> None:
    node.faults = Faults(close_after_answer=True)

    for _ in range(30):
        assert text(await client.ask()) == TEXT


async def test_a_node_that_was_restarted_is_asked_again(client: Client, node: Fake) -> None:
    await client.ask()
    node.kill()
    with pytest.raises(UpstreamUnreachable):
        await client.ask()
    node.revive()

    assert text(await client.ask()) == TEXT


TELLTALES: dict[str, Faults] = {
    **EARLY,
    **LATE,
    **{
        f"{status} that repeats the key": Faults(
            status=status, body=f'{{"error":{{"message":"bad key: {SECRET} in Bearer {SECRET}"}}}}'
        )
        for status in (400, 401, 403, 404, 422, 429, 500)
    },
    "an event that repeats the key": Faults(
        raw=f'data: {{"error":"Bearer {SECRET}"}}\n\n', content_type="text/event-stream"
    ),
    "a line that repeats the key": Faults(
        raw=f'{{"error":"Bearer {SECRET}"}}\n', content_type="application/x-ndjson"
    ),
    "an answer that repeats the key": Faults(
        raw=f'{{"error":"key {SECRET}"}}', content_type="application/json"
    ),
}


@pytest.mark.parametrize("fault", TELLTALES.values(), ids=TELLTALES)
async def test_no_error_holds_a_secret_or_an_address(
    client: Client, node: Fake, fault: Faults
) -> None:
    node.faults = fault

    with pytest.raises(DplError) as caught:
        await client.ask(times=Timeouts(idle=0.2))

    told = f"{caught.value!r} {caught.value.message}"
    assert SECRET not in told
    assert "127.0.0.1" not in told
    assert len(caught.value.message) <= 260


async def test_a_wrong_credential_is_no_fault_of_the_request(case: Case) -> None:
    with case.fake(api_key="another") as node:
        async with asking(case.dialect(), node.url, SECRET) as client:
            with pytest.raises(UpstreamRefused) as caught:
                await client.ask()

    assert isinstance(caught.value, UpstreamError)
    assert "another" not in caught.value.message
