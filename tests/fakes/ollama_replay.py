"""Recorded exchanges with a real Ollama, and the same requests sent to a fake.

`Exchange` and `Answer` compare by `looks`: status, the headers that matter, the framing, and the
shape of the body: names and types in order, every word that is no text of a model, errors letter
by letter; not numbers, texts, dates, ids.
"""

import gzip
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import groupby
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "recordings" / "ollama"
MATTER = ("content-type", "allow", "connection", "location", "access-control-allow-origin")
TOLD = frozenset({"model", "role", "done_reason", "finish_reason", "object", "type", "error"})
"""Fields whose text is part of the protocol."""
SPOKEN = ("error", "message", "delta", "choices", "tool_calls")
"""Where in a document those fields are of the protocol, besides its top."""
ELSEWHERE = re.compile(r" on DNS-IP:53|\d+(?= tokens\))|(?<=_tokens\":)\d+")
"""What an error tells of the machine where it was recorded, or counts."""


@dataclass(frozen=True)
class Answer:
    """`chunks` of a body that is not chunked: one."""

    status: int
    headers: Mapping[str, str]
    framing: str
    chunks: Sequence[str]

    @property
    def kind(self) -> str:
        return self.headers.get("content-type", "")

    def looks(self, *, body: bool = True) -> dict[str, Any]:
        """`body`: False where the recorder cut it short."""
        told = {name: self.headers[name] for name in MATTER if name in self.headers}
        shape = list(self._shape()) if body else None
        return {"status": self.status, "framing": self.framing, "headers": told, "body": shape}

    def _shape(self) -> Iterator[Any]:
        if not re.search("ndjson|event-stream", self.kind):
            whole = "".join(self.chunks)
            yield shape(whole) if "json" in self.kind and whole else whole
            return
        chunks = self.chunks if self.framing == "chunked" else lines("".join(self.chunks))
        for one, _ in groupby([shape(line) for line in lines(chunk)] for chunk in chunks):
            yield one


@dataclass(frozen=True)
class Exchange:
    """One request as it was sent and what came back."""

    folder: str
    name: str
    method: str
    path: str
    version: str
    headers: Sequence[tuple[str, str]]
    body: str
    answer: Answer
    before: tuple[str, str, str, int] | None
    """Another request, sent just before: method, path, body, status."""
    cut: bool
    """Of the answer's body the recorder kept the first part alone."""

    @property
    def at(self) -> int:
        """Seconds since 1970."""
        return int(parsedate_to_datetime(self.answer.headers["date"]).timestamp())


def exchanges(folder: str) -> list[Exchange]:
    """Those of "v0.32.15/03-chat", in their order."""
    rows = (RECORDED / f"{folder}.jsonl").read_text("utf-8").split("\n")
    return [exchange(folder, json.loads(row)) for row in rows if row]


def exchange(folder: str, row: Mapping[str, Any]) -> Exchange:
    method, path, version, headers, body = row["request"]
    told = {name.lower(): value for name, value in row["headers"]}
    return Exchange(
        folder=folder,
        name=row["name"],
        method=method,
        path=path,
        version=version,
        headers=headers,
        body=body,
        answer=Answer(row["status"], told, row["framing"] or "none", row["chunks"]),
        before=row.get("before"),
        cut=row.get("cut", False),
    )


def lines(text: str) -> list[str]:
    """The records of NDJSON or of server-sent events."""
    return [line.removeprefix("data: ") for line in text.split("\n") if line]


def shape(text: str) -> Any:
    return text if text == "[DONE]" else outline(json.loads(text), "", top=True)


def outline(value: Any, name: str, *, top: bool = False) -> Any:
    """`name`: of the field that holds it."""
    if isinstance(value, dict):
        inside = "error" if name == "error" else ""
        told = top or name in SPOKEN
        return [(key, outline(one, named(key, inside, told=told))) for key, one in value.items()]
    if isinstance(value, list):
        return {repr(outline(one, name if name in SPOKEN else "-")) for one in value}
    if isinstance(value, str):
        return ELSEWHERE.sub("", value) if name in TOLD else "text"
    if isinstance(value, bool) or value is None:
        return value
    return "number"


def named(key: str, inside: str, *, told: bool) -> str:
    if inside == "error" and key == "message":
        return "error"
    return key if told or key not in TOLD else "-"


def send(url: str, asked: Exchange) -> Answer:
    """On a connection of its own. Raises: OSError where no answer comes."""
    host, _, port = url.removeprefix("http://").partition(":")
    body = packed(asked)
    chunked = any(name.lower() == "transfer-encoding" for name, _ in asked.headers)
    fields = [f"{name}: {value}" for name, value in asked.headers]
    fields += [] if chunked else [f"Content-Length: {len(body)}"]
    head = "\r\n".join([f"{asked.method} {asked.path} {asked.version}", *fields, "", ""])
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(head.encode() + (recoded(asked.body) if chunked else body))
        with sock.makefile("rb") as stream:
            return received(stream, asked.method)


def packed(asked: Exchange) -> bytes:
    """The recorder kept text; a compressed body is made anew."""
    coding = dict(asked.headers).get("Content-Encoding")
    return gzip.compress(b"{}") if coding == "gzip" else asked.body.encode()


def recoded(body: str) -> bytes:
    """A chunked request, whose lines the recorder wrote with \\n."""
    return body.replace("\r\n", "\n").replace("\n", "\r\n").encode()


def received(stream: Any, method: str) -> Answer:
    status, headers = head_of(stream)
    if status == 100:
        status, headers = head_of(stream)
    if "transfer-encoding" in headers:
        return Answer(status, headers, "chunked", list(chunks_of(stream)))
    if method == "HEAD" or status == 204:
        return Answer(status, headers, "none", [])
    if "content-length" in headers:
        body = stream.read(int(headers["content-length"]))
        return Answer(status, headers, "length", [body.decode()] if body else [])
    return Answer(status, headers, "close", [stream.read().decode()])


def head_of(stream: Any) -> tuple[int, dict[str, str]]:
    first, *rest = iter(lambda: stream.readline().decode().rstrip("\r\n"), "")
    fields = (line.partition(": ") for line in rest)
    return int(first.split()[1]), {name.lower(): value for name, _, value in fields}


def chunks_of(stream: Any) -> Iterable[str]:
    while size := int(stream.readline(), 16):
        yield stream.read(size).decode()
        stream.readline()
