"""Calls that the router does not read: routed by model, passed on and back as they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai import FakeOpenAi
from tests.fakes.passing import Said, passing
from tests.fakes.router import Node, running_router
from tests.router.surfaces.calls import events

SSE = "text/event-stream"
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
RESPONSES, RERANK, HEAR = "/v1/responses", "/v1/rerank", "/v1/audio/transcriptions"

MESSAGE_PARTS = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m"}}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"Hi"}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)
RESPONSE_PARTS = (
    b'event: response.created\ndata: {"type":"response.created"}\n\n',
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta"}\n\n',
    b'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n',
)


@pytest.mark.parametrize("path", [RESPONSES, MESSAGES, COUNT, RERANK])
async def test_an_answer_comes_back_as_the_node_wrote_it(tmp_path: Path, path: str) -> None:
    said = b'{"anything": [1, 2.50, "\xc3\xa9"],  "odd":null}'
    async with passing({path: Said(said)}) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                sent = {"model": "any", "input": "x", "of_mine": {"deep": True}}
                answer = await client.post(path, json=sent)
        seen = node.calls(path)[0]

    assert (answer.status_code, answer.content) == (200, said)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-dpl-node"] == "a"
    assert json.loads(seen.body) == sent


@pytest.mark.parametrize(
    ("path", "parts"), [(MESSAGES, MESSAGE_PARTS), (RESPONSES, RESPONSE_PARTS)]
)
async def test_a_stream_comes_back_event_by_event_with_nothing_added(
    tmp_path: Path, path: str, parts: tuple[bytes, ...]
) -> None:
    async with passing({path: Said(parts=parts, content_type=SSE)}) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(path, json={"model": "any", "stream": True})

    assert answer.headers["content-type"].startswith(SSE)
    assert answer.content == b"".join(parts)


async def test_a_stream_that_just_ends_is_told_as_broken_in_the_words_of_its_protocol(
    tmp_path: Path,
) -> None:
    """A killed runner ends so: cleanly, and without the last event."""
    cut = {
        MESSAGES: Said(parts=MESSAGE_PARTS[:2], content_type=SSE),
        RESPONSES: Said(parts=RESPONSE_PARTS[:2], content_type=SSE, cut=True),
    }
    async with passing(cut) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                message = await client.post(MESSAGES, json={"model": "any", "stream": True})
                response = await client.post(RESPONSES, json={"model": "any", "stream": True})

    last = events(message.text)[-1]
    assert "event: error\n" in message.text
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert "message_stop" not in message.text
    last = events(response.text)[-1]
    assert "event: error\n" in response.text
    assert (last["type"], last["code"]) == ("error", "upstream_broke")
    assert last["error"]["message"]
    assert "[DONE]" not in response.text


def form(**fields: bytes) -> tuple[bytes, dict[str, str]]:
    """A multipart body and its header."""
    parts = [
        b'--of-mine\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (name.encode(), value)
        for name, value in fields.items()
    ]
    sound = b'; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n' + bytes(range(256)) * 40
    parts.append(b'--of-mine\r\nContent-Disposition: form-data; name="file"' + sound)
    header = {"content-type": "multipart/form-data; boundary=of-mine"}
    return b"".join(parts) + b"\r\n--of-mine--\r\n", header


async def test_a_form_goes_on_as_it_came_with_its_boundary(tmp_path: Path) -> None:
    body, header = form(model=b"any", language=b"en")
    async with passing({HEAR: Said(b'{"text":"hello"}')}) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(HEAR, content=body, headers=header)
        seen = node.calls(HEAR)[0]

    assert answer.json() == {"text": "hello"}
    assert seen.body == body
    assert seen.headers["content-type"] == header["content-type"]


@pytest.mark.parametrize("size", [10, 400_000])
async def test_a_form_names_the_model_as_its_node_does_and_keeps_what_looks_like_it(
    tmp_path: Path, size: int
) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        + b'name="model"\r\n' * (size // 14)
        + b'\r\nany-alias\r\n--b\r\nContent-Disposition: form-data; Name="model"\r\n\r\nany-alias'
        b"\r\n--b--\r\n"
    )
    header = {"content-type": "multipart/form-data; charset=utf-8; Boundary=b"}
    async with passing({HEAR: Said(b'{"text":"hello"}')}) as node:
        described: Node = {"url": node.url, "aliases": {"any-alias": "any"}}
        async with running_router({"a": described}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(HEAR, content=body, headers=header)
        seen = node.calls(HEAR)[0]

    at = body.rindex(b"any-alias")
    assert answer.status_code == 200
    assert seen.body == body[:at] + b"any" + body[at + len(b"any-alias") :]
    assert seen.headers["content-type"] == "multipart/form-data; boundary=b"


async def test_a_form_may_not_name_a_model_that_is_no_text(tmp_path: Path) -> None:
    body, header = form(model=b"\xff\xfe")
    async with passing({HEAR: Said(b"{}")}) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(HEAR, content=body, headers=header)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"", 415),
        ("multipart/form-data; boundary=b", b"", 400),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 400),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nauto\r\n--b--\r\n',
            400,
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nany\r\n' * 2 + b"--b--",
            400,
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nany',
            400,
        ),
    ],
)
async def test_a_form_that_two_could_read_in_two_ways_is_refused(
    tmp_path: Path, content_type: str, body: bytes, status: int
) -> None:
    async with passing({HEAR: Said(b"{}")}) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(
                    HEAR, content=body, headers={"content-type": content_type}
                )

    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert node.calls(HEAR) == []


async def test_a_call_goes_to_a_node_that_knows_it(tmp_path: Path) -> None:
    """Both have the model, one has the path."""
    said = Said(b'{"results":[]}')
    async with passing({}) as bare, passing({RERANK: said}) as able:
        nodes: dict[str, Node] = {"bare": bare.url, "able": able.url}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                body = {"model": "any", "query": "q", "documents": ["d"]}
                answers = [await client.post(RERANK, json=body) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.headers["x-dpl-node"] for answer in answers} == {"able"}


@pytest.mark.parametrize("path", [RESPONSES, MESSAGES, COUNT, RERANK])
async def test_a_call_that_no_node_knows_is_a_404(tmp_path: Path, path: str) -> None:
    async with passing({}) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(path, json={"model": "any"})

    assert answer.status_code == 404
    assert path in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (b"{", 400, "invalid_request_error"),
        (b'{"model": "nope"}', 404, "not_found_error"),
        (b'{"model": "any"}', 400, "invalid_request_error"),
    ],
)
async def test_anthropics_clients_hear_errors_in_their_own_envelope(
    tmp_path: Path, sent: bytes, status: int, kind: str
) -> None:
    refusal = b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens"}}'
    async with passing({MESSAGES: Said(refusal, status=400)}) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(MESSAGES, content=sent)

    said: dict[str, Any] = answer.json()
    assert answer.status_code == status
    assert (said["type"], said["error"]["type"]) == ("error", kind)
    assert set(said["error"]) == {"message", "type", "param", "code"}


async def test_a_chat_under_another_path_is_counted_apart(tmp_path: Path) -> None:
    async with passing({RERANK: Said(b"{}")}) as node:
        with FakeOpenAi() as other:
            nodes: dict[str, Node] = {"a": node.url, "b": other.url}
            async with running_router(nodes, folder=tmp_path) as router:
                async with router.client() as client:
                    await client.post(RERANK, json={"model": "any"})
                counted = await router.metric(
                    'dpl_router_requests_total{model="any",outcome="ok",route="passthrough"}'
                )

    assert counted == 1
