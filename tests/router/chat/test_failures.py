"""Nodes that refuse, break off or say nothing, and what the client hears of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAi, Faults
from tests.fakes.router import Node, running_router
from tests.router.chat.talking import PATH, body, events, text_of


@pytest.mark.parametrize(
    "faults",
    [
        Faults(status=500),
        Faults(status=503, retry_after="1"),
        Faults(status=429),
        Faults(status=401),
        Faults(garbage=True),
        Faults(die="before_head"),
        Faults(die="after_head"),
        Faults(raw="<html>no</html>", content_type="text/html"),
    ],
    ids=lambda faults: faults.die or faults.status or "garbage",
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_node_that_fails_before_its_first_word_is_replaced_unseen(
    tmp_path: Path, faults: Faults, stream: bool
) -> None:
    with FakeOpenAi() as good, FakeOpenAi() as bad:
        nodes = {"bad": bad.url, "good": good.url}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                bad.faults, good.faults = faults, Faults(token_delay=0.05)
                calls = [client.post(PATH, json=body(stream=stream)) for _ in range(8)]
                answers = await asyncio.gather(*calls)

    assert [answer.status_code for answer in answers] == [200] * 8
    assert {answer.headers["x-dpl-node"] for answer in answers} == {"good"}
    assert any(answer.headers["x-dpl-attempts"] == "2" for answer in answers)


@pytest.mark.parametrize(("said", "told"), [("7", "7"), ("", "1")])
@pytest.mark.parametrize("path", [PATH, "/api/chat"])
async def test_a_429_of_every_node_is_the_clients_and_it_may_come_again(
    tmp_path: Path, path: str, said: str, told: str
) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with running_router({"a": a.url, "b": b.url}, folder=tmp_path) as router:
            async with router.client() as client:
                a.faults = b.faults = Faults(status=429, retry_after=said)
                answer = await client.post(path, json=body())
                again = await client.post(path, json=body())

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == told
    assert "x-should-retry" not in answer.headers
    assert again.status_code == 429
    assert int(again.headers["retry-after"]) >= 1


async def test_a_request_that_is_wrong_itself_is_told_at_once_and_tried_once(
    tmp_path: Path,
) -> None:
    wrong = '{"error":{"message":"context size exceeded","type":"invalid_request_error"}}'
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with running_router({"a": a.url, "b": b.url}, folder=tmp_path) as router:
            async with router.client() as client:
                a.faults = b.faults = Faults(status=400, body=wrong)
                answer = await client.post(PATH, json=body())
        tries = len(a.chats) + len(b.chats)

    assert answer.status_code == 400
    assert "context size exceeded" in answer.json()["error"]["message"]
    assert tries == 1


INSIDE = '{"error":{"message":"prompt is too long","code":%d}}'


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [PATH, "/api/chat"])
async def test_a_request_that_is_wrong_itself_is_told_once_behind_a_200_too(
    tmp_path: Path, path: str, stream: bool
) -> None:
    """vLLM and SGLang begin a stream first: a prompt that is too long took all nodes out."""
    said = INSIDE % 400
    wrong = Faults(
        raw=f"data: {said}\n\n" if stream else said,
        content_type="text/event-stream" if stream else "application/json",
    )
    with FakeOpenAi() as a, FakeOpenAi() as b:
        nodes: dict[str, Node] = {
            name: {"url": one.url, "kind": "openai"} for name, one in (("a", a), ("b", b))
        }
        async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
            a.faults = b.faults = wrong
            answers = [await client.post(path, json=body(stream=stream)) for _ in range(6)]
            states = [one["state"] for one in (await client.get("/api/status/all")).json()]
        tries = len(a.chats) + len(b.chats)

    assert [answer.status_code for answer in answers] == [400] * 6
    assert all("prompt is too long" in answer.text for answer in answers)
    assert tries == 6
    assert states == ["ready"] * 2


async def test_a_429_behind_a_200_is_the_clients_where_no_other_node_would_have_it(
    tmp_path: Path,
) -> None:
    with FakeOpenAi() as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "kind": "openai"}}
        async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
            node.faults = Faults(raw=f"data: {INSIDE % 429}\n\n", content_type="text/event-stream")
            answer = await client.post(PATH, json=body(stream=True))

    assert answer.status_code == 429
    assert "retry-after" in answer.headers


async def test_a_cut_after_the_first_token_is_an_error_event_and_no_second_text(
    tmp_path: Path,
) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with running_router({"a": a.url, "b": b.url}, folder=tmp_path) as router:
            async with router.client() as client:
                a.faults = b.faults = Faults(die="after_tokens", after=2, token_delay=0.05)
                answer = await client.post(PATH, json=body(stream=True))
        tries = len(a.chats) + len(b.chats)

    chunks = events(answer.text)
    assert answer.status_code == 200
    assert set(chunks[-1]) == {"error"}
    assert "[DONE]" not in chunks
    assert text_of(chunks[:-1]) == "Hello from"
    assert tries == 1


async def test_when_every_node_refuses_the_client_hears_it_with_no_retry(tmp_path: Path) -> None:
    with FakeOpenAi() as a, FakeOpenAi() as b:
        async with running_router({"a": a.url, "b": b.url}, folder=tmp_path) as router:
            async with router.client() as client:
                a.faults = b.faults = Faults(status=500)
                answer = await client.post(PATH, json=body())
        tries = (len(a.chats), len(b.chats))

    assert answer.status_code == 502
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["code"] == "upstream_refused"
    assert tries == (1, 1)


async def test_a_node_without_any_word_is_left_after_half_the_budget(tmp_path: Path) -> None:
    with FakeOpenAi() as silent, FakeOpenAi() as good:
        nodes = {"silent": silent.url, "good": good.url}
        patience = {"timeouts": {"first_token": 4}}
        async with running_router(nodes, folder=tmp_path, router=patience) as router:
            silent.faults = Faults(hang="before_head")
            async with router.client() as client:
                answers = [await client.post(PATH, json=body(stream=True)) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.headers["x-dpl-node"] for answer in answers} == {"good"}


async def test_a_failure_after_the_head_left_is_an_error_event(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path, heartbeat=0.2) as router:
            node.faults = Faults(head_delay=0.6, status=500)
            async with router.client() as client:
                answer = await client.post(PATH, json=body(stream=True))

    assert answer.status_code == 200
    assert set(events(answer.text)[-1]) == {"error"}


async def test_two_failing_nodes_are_both_passed_over(tmp_path: Path) -> None:
    """Two retries: the third node answers, whichever order they are asked in."""
    with FakeOpenAi() as a, FakeOpenAi() as b, FakeOpenAi() as good:
        nodes: dict[str, Node] = {"a": a.url, "b": b.url, "good": {"url": good.url, "slots": 1}}
        async with running_router(nodes, folder=tmp_path) as router:
            a.faults = b.faults = Faults(status=500)
            good.faults = Faults(token_delay=0.1)
            async with router.client() as client:
                calls = [client.post(PATH, json=body()) for _ in range(3)]
                answers = await asyncio.gather(*calls)

    assert [answer.status_code for answer in answers] == [200] * 3
    assert "3" in {answer.headers["x-dpl-attempts"] for answer in answers}


async def test_a_plain_answer_that_broke_off_is_asked_for_elsewhere(tmp_path: Path) -> None:
    """Nothing of it has reached the client, however much the node had written."""
    with FakeOpenAi() as a, FakeOpenAi() as b:
        nodes: dict[str, Node] = {
            "a": {"url": a.url, "kind": "llamacpp"},
            "b": {"url": b.url, "kind": "llamacpp"},
        }
        async with running_router(nodes, folder=tmp_path) as router:
            a.faults = Faults(die="after_tokens", after=2, token_delay=0.05)
            b.faults = Faults(token_delay=0.05)
            async with router.client() as client:
                calls = [client.post(PATH, json=body()) for _ in range(6)]
                answers = await asyncio.gather(*calls)

    assert [answer.status_code for answer in answers] == [200] * 6
    assert {answer.headers["x-dpl-node"] for answer in answers} == {"b"}
    assert len(a.chats) > 0


async def test_what_one_kind_of_node_has_no_words_for_goes_to_the_other(tmp_path: Path) -> None:
    with FakeOpenAi(model="tiny") as openai, FakeOllama(model="tiny") as ollama:
        nodes: dict[str, str | Node] = {
            "openai": {"url": openai.url, "kind": "openai", "slots": 8},
            "ollama": {"url": ollama.url, "kind": "ollama", "slots": 8},
        }
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                two = [await client.post(PATH, json=body(n=2)) for _ in range(6)]
                goes_on = {"model": "tiny", "prompt": "x", "context": [1], "stream": False}
                one = [await client.post("/api/generate", json=goes_on) for _ in range(6)]
                neither = await client.post(
                    "/api/generate", json={**goes_on, "format": 5, "context": []}
                )

    assert [answer.status_code for answer in (*two, *one)] == [200] * 12
    assert {answer.headers["x-dpl-node"] for answer in two} == {"openai"}
    assert {answer.headers["x-dpl-node"] for answer in one} == {"ollama"}
    assert neither.status_code == 400


@asynccontextmanager
async def node_that_says(
    last: bytes, after: float = 0.0, words: Sequence[str] = ("Hel", "lo")
) -> AsyncIterator[str]:
    """Its url: it lists `tiny`, says two `words`, the second with `last` in one packet `after` so
    many seconds, then nothing more."""
    chunk = 'data: {"id":"x","choices":[{"index":0,"delta":{%s"content":"%s"}}]}'
    word = (chunk % ('"role":"assistant",', words[0])).encode()
    more = (chunk % ("", words[1])).encode() if words[1:] else b": nothing"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET"):
                models = b'{"data":[{"id":"tiny","owned_by":"vllm"}]}'
                writer.write(lines % (b"application/json", len(models), models))
            first, second = word + b"\n\n", more + b"\n\n" + last + b"\n\n"
            size = len(first) + len(second) + 1
            if after:
                writer.write(lines % (b"text/event-stream", size, first))
                await asyncio.sleep(after)
                writer.write(second)
            else:
                writer.write(lines % (b"text/event-stream", size, first + second))
            await reader.readuntil(b"there is no such thing")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


LAST = [
    (b'data: {"error":{"message":"boom"}}', "boom"),
    (b'data: {"error":{"message":"boom","code":1e999}}', "boom"),
    (b"data: nonsense", "no chat chunk"),
]
"""What ends an answer, and what the client reads of it."""


@pytest.mark.parametrize(("last", "told"), LAST)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
async def test_an_error_that_comes_with_a_word_is_told_behind_it_at_once(
    tmp_path: Path, path: str, last: bytes, told: str
) -> None:
    """The node may leave the connection open and say nothing more."""
    async with node_that_says(last, after=0.2) as url:
        nodes: dict[str, Node] = {"a": {"url": url, "kind": "openai"}}
        async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
            async with asyncio.timeout(10):
                answer = await client.post(path, json=body(stream=True))

    assert answer.status_code == 200
    assert 0 < answer.text.index("Hel") < answer.text.index("lo") < answer.text.index(told)
    assert "[DONE]" not in answer.text
    assert '"done":true' not in answer.text


@pytest.mark.parametrize(("last", "told"), LAST)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
async def test_an_error_among_the_first_words_is_another_nodes_turn(
    tmp_path: Path, path: str, last: bytes, told: str
) -> None:
    with FakeOpenAi() as good:
        async with node_that_says(last) as url:
            nodes: dict[str, Node] = {"a": {"url": url, "kind": "openai"}}
            async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
                alone = await client.post(path, json=body(stream=True))
            nodes["good"] = good.url
            (tmp_path / "two").mkdir()
            async with (
                running_router(nodes, folder=tmp_path / "two") as router,
                router.client() as client,
            ):
                two = [await client.post(path, json=body(stream=True)) for _ in range(4)]
                retries = await router.metric(
                    'dpl_router_retries_total{model="tiny",reason="status"}'
                )
                cut = await router.metric('dpl_router_streams_truncated_total{node="a"}')

    assert alone.status_code == 502
    assert told in alone.text
    assert retries >= 1
    assert cut == 0
    assert {answer.status_code for answer in two} == {200}
    assert {answer.headers["x-dpl-node"] for answer in two} == {"good"}
    assert not any('"Hel"' in answer.text for answer in two)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
async def test_an_error_behind_the_role_alone_is_another_nodes_turn(
    tmp_path: Path, path: str
) -> None:
    """Some servers tell the role before they have looked at the prompt."""
    with FakeOpenAi() as good:
        async with node_that_says(LAST[0][0], after=0.3, words=[""]) as url:
            nodes: dict[str, Node] = {"a": {"url": url, "kind": "openai"}, "good": good.url}
            async with running_router(nodes, folder=tmp_path) as router, router.client() as client:
                answers = [await client.post(path, json=body(stream=True)) for _ in range(4)]
                retries = await router.metric(
                    'dpl_router_retries_total{model="tiny",reason="status"}'
                )

    assert {answer.headers["x-dpl-node"] for answer in answers} == {"good"}
    assert not any("boom" in answer.text for answer in answers)
    assert retries >= 1
