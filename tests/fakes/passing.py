"""An LLM server that answers any path with what a test gave it, and keeps what it was asked.

    async with passing({"/v1/rerank": Said(b'{"results":[]}')}) as node:
        node.url, node.asked

It serves one model, on the test's own loop.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.fakes.wire import Peer, served


@dataclass(frozen=True)
class Said:
    """An answer: whole, or in `parts` as a stream; `cut`: it ends there without its last byte."""

    body: bytes = b""
    content_type: str = "application/json"
    status: int = 200
    parts: Sequence[bytes] = ()
    cut: bool = False


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Passing:
    answers: Mapping[str, Said]
    model: str
    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    def calls(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path == path]

    async def serve(self, peer: Peer) -> None:
        while True:
            asked = read(await peer.request())
            self.asked.append(asked)
            said = self._answer(asked)
            await peer.say(_head(said))
            for part in said.parts:
                await peer.say(b"%x\r\n%b\r\n" % (len(part), part))
            if said.cut:
                return
            await peer.say(b"0\r\n\r\n" if said.parts else said.body or b"")

    def _answer(self, asked: Asked) -> Said:
        if asked.path == "/v1/models":
            listed = {"object": "list", "data": [{"id": self.model, "object": "model"}]}
            return Said(json.dumps(listed).encode())
        missing = Said(b"404 page not found", "text/plain", 404)
        return self.answers.get(asked.path, missing)


def read(raw: bytes) -> Asked:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    return Asked(method, path, {name.lower(): value for name, value in headers.items()}, body)


def _head(said: Said) -> bytes:
    size = "transfer-encoding: chunked" if said.parts else f"content-length: {len(said.body)}"
    return (
        f"HTTP/1.1 {said.status} Said\r\ncontent-type: {said.content_type}\r\n{size}\r\n\r\n"
    ).encode()


@asynccontextmanager
async def passing(answers: Mapping[str, Said], model: str = "any") -> AsyncIterator[Passing]:
    node = Passing(answers, model)
    async with served(node.serve) as url:
        node.url = url
        yield node
