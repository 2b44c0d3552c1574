"""When a node was heard of last: what the rule of wedged nodes goes by."""

from pathlib import Path

import pytest

from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import running_router

GAUGE = 'dpl_router_upstream_last_event_timestamp_seconds{node="a"}'
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
async def test_a_node_is_heard_of_while_it_writes_one_long_answer(
    tmp_path: Path, path: str
) -> None:
    with FakeOpenAi(tokens=["word "] * 1000) as node:
        node.faults = Faults(token_delay=0.1)
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                before = await router.metric(GAUGE)
                async with client.stream("POST", path, json={**CHAT, "stream": True}) as answer:
                    pieces = answer.aiter_raw()  # kept, or the answer would be closed
                    await anext(pieces)
                    first = await router.metric(GAUGE)
                    later = await router.metric(GAUGE)

    assert before == 0
    assert 0 < first < later


async def test_a_node_is_heard_of_by_a_whole_answer_and_not_by_a_refusal(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        node.faults = Faults(status=503)
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                await client.post("/v1/chat/completions", json=CHAT)
                refused = await router.metric(GAUGE)
                node.heal()
                await client.post("/v1/chat/completions", json=CHAT)
                answered = await router.metric(GAUGE)

    assert refused == 0
    assert answered > 0
