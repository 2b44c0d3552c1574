"""Which LLM servers run here: the body tells, not the status."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dpl_router.stack.probe import USUAL, Candidate, Server, find_servers

KINDS = {candidate.kind: candidate for candidate in USUAL}
LLAMACPP = {"data": [{"id": "qwen3:8b", "owned_by": "llamacpp"}]}
VLLM = {"data": [{"id": "tiny-random", "owned_by": "vllm"}]}
OLLAMA = {"models": [{"name": "qwen3:14b", "digest": "a1b2"}, {"name": "b", "digest": "c3"}]}
LMSTUDIO = {"data": [{"id": "example-chat-12b", "publisher": "example", "state": "loaded"}]}


class Says:
    """A server that says the same to every GET."""

    def __init__(self) -> None:
        self.body = b""
        says = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(says.body)))
                self.end_headers()
                self.wfile.write(says.body)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def says() -> Iterator[Says]:
    says = Says()
    thread = threading.Thread(target=says.server.serve_forever)
    thread.start()
    yield says
    says.server.shutdown()
    thread.join()
    says.server.server_close()


def at(kind: str, url: str) -> Candidate:
    return replace(KINDS[kind], url=url)


@pytest.mark.parametrize(
    ("kind", "document", "models"),
    [
        ("llamacpp", LLAMACPP, ("qwen3:8b",)),
        ("vllm", VLLM, ("tiny-random",)),
        ("ollama", OLLAMA, ("qwen3:14b", "b")),
        ("lmstudio", LMSTUDIO, ("example-chat-12b",)),
    ],
)
async def test_a_server_is_known_by_what_it_says(
    says: Says, kind: str, document: Any, models: tuple[str, ...]
) -> None:
    says.body = json.dumps(document).encode()

    assert await find_servers([at(kind, says.url)]) == [Server(kind, says.url, models)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"Unexpected endpoint or method. (GET /v1/models)"}',  # LM Studio, status 200
        b'{"data": [{"id": "qwen3:8b", "owned_by": "dpl"}]}',  # a router of ours
        b'{"models": [], "data": []}',
        b'{"models": null, "data": {"id": "x"}}',
        b'{"models": [1], "data": ["x"]}',
        b"[]",
        b"<html>hello</html>",
        b"\xff",
    ],
)
async def test_anything_else_is_no_server(says: Says, kind: str, body: bytes) -> None:
    says.body = body

    assert await find_servers([at(kind, says.url)]) == []


async def test_where_nothing_listens_there_is_no_server() -> None:
    assert await find_servers([at("vllm", "http://127.0.0.1:1")]) == []
