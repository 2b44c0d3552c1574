"""Which LLM servers run on this machine? Asked by GET; the body decides, not the status.

A status alone lies: LM Studio answers 200 with an error text to every path, and a router of
ours answers on vLLM's usual port.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dpl_router.control import Control
from dpl_router.errors import DplError

SECONDS = 0.5
"""A server on the same machine answers these paths within milliseconds, however busy."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Where a kind of server usually is, the path that lists its models, and its own marks.

    A listed model must carry `mark`; where `value` is given, with that value.
    """

    kind: str
    url: str
    path: str
    listed: str
    name: str
    mark: str
    value: str | None = None


USUAL = (
    Candidate("ollama", "http://127.0.0.1:11434", "/api/tags", "models", "name", "digest"),
    Candidate(
        "llamacpp", "http://127.0.0.1:8080", "/v1/models", "data", "id", "owned_by", "llamacpp"
    ),
    Candidate("vllm", "http://127.0.0.1:8000", "/v1/models", "data", "id", "owned_by", "vllm"),
    Candidate("lmstudio", "http://127.0.0.1:1234", "/api/v0/models", "data", "id", "publisher"),
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answered, with at least one model."""

    kind: str
    url: str
    models: tuple[str, ...]


async def find_servers(candidates: Sequence[Candidate] = USUAL) -> list[Server]:
    """In the order of `candidates`; a server without a model is none."""
    found = await asyncio.gather(*(look(candidate) for candidate in candidates))
    return [server for server in found if server is not None]


async def look(candidate: Candidate) -> Server | None:
    control = Control(candidate.url, verify=False)
    try:
        answer = await control.get(candidate.path, seconds=SECONDS)
    except DplError:
        return None
    finally:
        await control.close()
    if answer.status != 200:
        return None
    models = tuple(models_in(answer.body, candidate))
    return Server(candidate.kind, candidate.url, models) if models else None


def models_in(body: bytes, candidate: Candidate) -> Iterator[str]:
    for entry in entries(body, candidate.listed):
        marked = entry.get(candidate.mark)
        name = entry.get(candidate.name)
        if isinstance(name, str) and marked and candidate.value in (None, marked):
            yield name


def entries(body: bytes, listed: str) -> Iterator[dict[str, Any]]:
    try:
        document = json.loads(body)
    except ValueError:
        return
    found = document.get(listed) if isinstance(document, dict) else None
    for entry in found if isinstance(found, list) else ():
        if isinstance(entry, dict):
            yield entry
