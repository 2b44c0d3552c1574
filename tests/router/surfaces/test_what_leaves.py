"""What a node gets to see of a call: its body and four kinds of header, nothing of the caller."""

from pathlib import Path

import pytest

from tests.fakes.ollama import FakeOllama
from tests.fakes.passing import Said, passing
from tests.fakes.router import Node, running_router
from tests.router.surfaces.calls import SMOL, TEXT_CALLS, Body

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OF_THE_CALLER = {
    "authorization": "Bearer key-of-the-caller",
    "cookie": "session=of-the-caller",
    "x-api-key": "of-the-caller",
    "x-forwarded-for": "192.0.2.7",
    "forwarded": "for=192.0.2.7",
    "x-real-ip": "192.0.2.7",
    "user-agent": "of-the-caller",
    "referer": "http://127.0.0.1/of-the-caller",
    "x-openwebui-user-email": "person@of-the-caller",
    "x-csrf": "1",
}
MAY_LEAVE = {
    "host",
    "content-type",
    "content-length",
    "accept",
    "x-request-id",
    "traceparent",
    "tracestate",
    "connection",
    "user-agent",
    "accept-encoding",
}


@pytest.mark.parametrize("kind", ["openai", "ollama"])
@pytest.mark.parametrize(("path", "body"), TEXT_CALLS, ids=lambda each: str(each)[:24])
async def test_only_allowed_headers_leave(tmp_path: Path, path: str, body: Body, kind: str) -> None:
    headers = {**OF_THE_CALLER, "traceparent": TRACE, "tracestate": "a=1", "x-request-id": "mine"}
    with FakeOllama() as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "kind": kind}}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.post(path, json={**body, "model": SMOL}, headers=headers)
        seen = node.chats[0].headers

    assert answer.status_code == 200
    assert seen.keys() <= MAY_LEAVE
    assert "of-the-caller" not in str(seen)
    assert "192.0.2.7" not in str(seen)
    assert (seen["traceparent"], seen["tracestate"]) == (TRACE, "a=1")
    assert seen["x-request-id"] == "mine"
    assert seen["host"] == node.url.removeprefix("http://")


async def test_only_allowed_headers_leave_with_a_call_that_is_passed_on(tmp_path: Path) -> None:
    async with passing({"/v1/messages": Said(b"{}")}) as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                headers = {**OF_THE_CALLER, "anthropic-version": "2023-06-01"}
                await client.post("/v1/messages?beta=true", json={"model": "any"}, headers=headers)
        seen = node.calls("/v1/messages")[0].headers

    assert seen.keys() <= MAY_LEAVE
    assert "of-the-caller" not in str(seen)


@pytest.mark.parametrize("trace", ["x" * 600, "caf\u00e9"])
async def test_a_trace_that_is_none_stays_here(tmp_path: Path, trace: str) -> None:
    with FakeOllama() as node:
        nodes: dict[str, Node] = {"a": {"url": node.url, "kind": "ollama"}}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client:
                path, body = TEXT_CALLS[0]
                headers = {b"traceparent": trace.encode("latin-1")}
                await client.post(path, json={**body, "model": SMOL}, headers=headers)

    assert "traceparent" not in node.chats[0].headers
