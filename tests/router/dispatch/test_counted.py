"""What an answer adds to the page of metrics, seen from outside."""

import asyncio
import json
from pathlib import Path

import pytest

from dpl_router.model_metrics import PER_TOKEN
from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import Node, Running, running_router, until

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
PATHS = ["/v1/chat/completions", "/api/chat"]
WORDS = 20


async def ask(router: Running, path: str, **fields: object) -> None:
    async with router.client() as client:
        (await client.post(path, json={**CHAT, **fields})).raise_for_status()


@pytest.mark.parametrize("path", PATHS)
async def test_the_gaps_between_the_words_of_a_stream_are_told(tmp_path: Path, path: str) -> None:
    gap = 0.06
    with FakeOpenAi(tokens=["word "] * WORDS) as node:
        node.faults = Faults(token_delay=gap)
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            await ask(router, path, stream=True)
            name = "dpl_router_inter_token_latency_seconds"
            count = await router.metric(f'{name}_count{{model="tiny"}}')
            whole = await router.metric(f'{name}_sum{{model="tiny"}}')
            quick = await router.metric(f'{name}_bucket{{le="{max_below(gap)}",model="tiny"}}')

    assert WORDS - 5 <= count <= WORDS + 1
    assert whole >= (count - 3) * gap
    assert quick <= 5  # what happened to come together


def max_below(gap: float) -> float:
    return max(bound for bound in PER_TOKEN if bound < gap)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", PATHS)
async def test_sizes_and_the_reason_of_the_end_are_told(
    tmp_path: Path, path: str, stream: bool
) -> None:
    with FakeOpenAi(tokens=["word "] * WORDS) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            await ask(router, path, stream=stream, stream_options={"include_usage": True})
            answers = await router.metric(
                'dpl_router_request_output_tokens_bucket{le="32.0",model="tiny"}'
            )
            prompts = await router.metric('dpl_router_request_input_tokens_count{model="tiny"}')
            ended = await router.metric(
                'dpl_router_finish_reasons_total{model="tiny",reason="stop"}'
            )

    assert (answers, prompts, ended) == (1, 1, 1)


async def test_an_end_in_a_word_of_the_nodes_own_is_other(tmp_path: Path) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "so"}}
    said = {"choices": [{**choice, "finish_reason": "because"}]}
    with FakeOpenAi() as node:
        node.faults = Faults(status=200, body=json.dumps(said))
        nodes: dict[str, Node] = {"a": {"url": node.url, "kind": "openai"}}
        async with running_router(nodes, folder=tmp_path) as router:
            await ask(router, PATHS[0])
            ended = await router.metric(
                'dpl_router_finish_reasons_total{model="tiny",reason="other"}'
            )

    assert ended == 1


@pytest.mark.parametrize("wild", [-7, 10**8, 10**20, 10**400], ids=range(4))
@pytest.mark.parametrize("stream", [True, False])
async def test_a_count_that_no_answer_has_is_the_clients_to_read_and_counts_nothing(
    tmp_path: Path, wild: int, stream: bool
) -> None:
    """One such answer took the whole page away until the router was restarted."""
    said = {"role": "assistant", "content": "so"}
    choice = {"index": 0, "message": said, "delta": said, "finish_reason": "stop"}
    usage = {
        "prompt_tokens": wild,
        "completion_tokens": wild,
        "prompt_tokens_details": {"cached_tokens": wild},
    }
    whole = json.dumps({"id": "x", "created": 1, "choices": [choice], "usage": usage})
    raw = f"data: {whole}\n\ndata: [DONE]\n\n" if stream else whole
    with FakeOpenAi() as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "kind": "openai"}}
        async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
            node.faults = Faults(raw=raw, content_type="text/event-stream" if stream else "")
            answer = await client.post(PATHS[0], json={**CHAT, "stream": stream})
            counted = [
                await router.metric(f'dpl_router_tokens_total{{direction="{one}",model="tiny"}}')
                for one in ("input", "output", "cached")
            ]
            seen = await router.metric('dpl_router_request_output_tokens_count{model="tiny"}')

    assert answer.status_code == 200
    assert str(wild) in answer.text
    assert counted == [0.0] * 3
    assert seen == 0


async def test_a_retry_is_counted_where_another_node_was_asked_and_waste_in_any_case(
    tmp_path: Path,
) -> None:
    """Of plain answers, of which nothing had reached the client."""
    with FakeOpenAi() as a, FakeOpenAi() as b:
        nodes: dict[str, Node] = {
            name: {"url": one.url, "kind": "llamacpp"} for name, one in (("a", a), ("b", b))
        }
        async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
            a.faults = b.faults = Faults(die="after_tokens", after=2, token_delay=0.05)
            answer = await client.post(PATHS[0], json=CHAT)
            retries = await router.metric(
                'dpl_router_retries_total{model="tiny",reason="stream_cut"}'
            )
            wasted = await router.metric('dpl_router_wasted_tokens_total{reason="retried"}')

    assert answer.status_code == 502
    assert (len(a.chats), len(b.chats)) == (1, 1)
    assert retries == 1
    assert wasted >= 4


async def test_what_a_client_that_left_did_not_read_is_wasted(tmp_path: Path) -> None:
    with FakeOpenAi(tokens=["word "] * 1000) as node:
        node.faults = Faults(token_delay=0.02)
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                async with client.stream("POST", PATHS[0], json={**CHAT, "stream": True}) as answer:
                    pieces = answer.aiter_raw()
                    for _ in range(5):
                        await anext(pieces)
            await until(lambda: node.open == 0)
            wasted = await router.metric('dpl_router_wasted_tokens_total{reason="cancelled"}')

    assert wasted >= 5


async def test_a_loop_that_is_held_is_told(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            await asyncio.sleep(0.3)
            held_for(0.6)
            name = "dpl_router_event_loop_lag_seconds"
            late = await router.metric(f"{name}_sum")
            seen = await router.metric(f"{name}_count")

    assert late >= 0.3
    assert seen >= 2


def held_for(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        pass
