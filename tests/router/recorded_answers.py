"""Recorded answers of LLM servers, read by the router's dialects; for `make recordings`.

An answer is events and an end; a recorded error, or a stream that broke off, is one of the router's
own failures. Anything else that comes out of a reader is a mistake of the reader.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dpl_router.conversation import Api, ChatRequest, Done, Piece
from dpl_router.errors import UpstreamError
from dpl_router.upstreams.base import Dialect, Head
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect
from tests.exporter.recorded_llms import exchanges
from tests.fakes.taken import taken

MEDIA = {
    ".sse": "text/event-stream",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".ndjson": "application/x-ndjson",
}
APIS: dict[str, tuple[Api, Api]] = {
    "/api/chat": ("ollama.chat", "openai.chat"),
    "/api/generate": ("ollama.generate", "openai.completion"),
    "/v1/chat/completions": ("openai.chat", "ollama.chat"),
    "/v1/completions": ("openai.completion", "ollama.generate"),
    "/api/embed": ("ollama.embed", "openai.embedding"),
    "/api/embeddings": ("ollama.embeddings", "openai.embedding"),
    "/v1/embeddings": ("openai.embedding", "ollama.embed"),
}
"""Path at the node -> who speaks so, and who is served so in translation."""
SHORTENED = "…".encode()
"""Where it stands, somebody cut a long value."""
FAILURES = re.compile(r"error|html-page|unknown-endpoint")
"""In the name of a file whose answer is none."""
TRUE_END = re.compile(rb'"done": ?true|\[DONE\]|"choices":\[\{.*"message":')
"""In an answer of Ollama's that did not break off."""
ODD = 7
"""Bytes in a piece, so that every character and line is cut somewhere."""


def pieces(dialect: Dialect, api: Api, media: str, data: bytes, cut: int) -> list[Piece]:
    """Raises: DplError as the dialect says."""
    body = json.dumps({"model": "m", "raw": True}).encode()
    stream = "stream" in media or "ndjson" in media
    call = ChatRequest("r1", "m", body, stream, wants_usage=True, prompt_tokens=1, api=api)
    decoder = dialect.decoder(call, "m", Head(200, {"content-type": media}))
    found: list[Piece] = []
    for at in range(0, len(data), cut):
        found += taken(decoder.feed(data[at : at + cut]))
    if not any(isinstance(event, Done) for event, _ in found):
        found += taken(decoder.end())
    return found


def read(path: str, media: str, data: bytes, *, good: bool) -> Iterator[object]:
    """Its events for both protocols' clients, whole and cut; a failure is one event.

    Raises: AssertionError where a cut changed them, or where a `good` one is taken for a failure.
    """
    dialect = OpenAiDialect() if path.startswith("/v1") else OllamaDialect()
    for api in APIS[path]:
        told = [outcome(dialect, api, media, data, cut) for cut in (len(data) or 1, ODD)]
        assert told[0] == told[1], f"{api}: cut into pieces it says {told[1]}, whole {told[0]}"
        assert not good or told[0] != [UpstreamError], f"{api}: it is taken for a failure"
        yield from told[0]


def outcome(dialect: Dialect, api: Api, media: str, data: bytes, cut: int) -> Sequence[object]:
    """Its events; where it fails that alone, since what came before depends on the pieces."""
    try:
        return [event for event, _ in pieces(dialect, api, media, data, cut)]
    except UpstreamError:
        return [UpstreamError]


def answer_file(file: Path) -> Iterator[object]:
    """One answer of a server that speaks OpenAI's protocol; `.ndjson` in ollama/ is Ollama's."""
    ollama = "ollama" in file.parts
    text = "completions-stream" in file.name
    path = "/v1/completions" if text else "/v1/chat/completions"
    if ollama and not file.name.startswith("v1-"):
        path = "/api/generate" if file.name.startswith("generate") else "/api/chat"
    good = not FAILURES.search(file.name)
    yield from read(path, MEDIA[file.suffix], file.read_bytes(), good=good)


def chunks_file(file: Path) -> Iterator[object]:
    """Chunks whose `data: ` was taken off."""
    lines = [line for line in file.read_bytes().split(b"\n") if line.strip()]
    data = b"".join(b"data: %s\n\n" % line for line in lines) + b"data: [DONE]\n\n"
    yield from read("/v1/chat/completions", MEDIA[".sse"], data, good=True)


def ollama_file(file: Path) -> Iterator[object]:
    """Every answer to a chat, a completion or an embedding, and every refusal of whatever."""
    for one in exchanges(file):
        if one.said.status >= 400:
            dialect = OpenAiDialect() if one.path.startswith("/v1") else OllamaDialect()
            yield dialect.refusal(Head(one.said.status, {}), one.said.body)
        elif one.path in APIS and one.said.status == 200 and SHORTENED not in one.said.body:
            first = one.said.body.lstrip()[:5]
            streamed = one.said.body.rstrip().count(b"\n") > 0
            media = MEDIA[".sse" if first == b"data:" else ".ndjson" if streamed else ".json"]
            yield from read(
                one.path, media, one.said.body, good=bool(TRUE_END.search(one.said.body))
            )


def models_file(file: Path) -> Iterator[object]:
    """A list of models, as the router's own health check reads it."""
    yield from OpenAiDialect().read_models([file.read_bytes()])
