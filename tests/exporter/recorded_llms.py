"""What recorded LLM servers said, told again by a fake server to the exporter's LLM collector.

For `make recordings`. Two layouts of Ollama's exchanges are read: the recorder's own, and the
shorter one of `tests/recordings`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import Metric

from tests.exporter.probe import Probe
from tests.fakes.llm_status import LMSTUDIO_OTHERWISE, Said, say, status_server

TEXT = "text/plain; charset=utf-8"
KINDS = {"vllm": "vllm", "sglang": "sglang", "llama.cpp": "llamacpp"}
"""Folder -> kind."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call to a recorded Ollama. `asked` is empty where the body is no object."""

    path: str
    asked: Mapping[str, Any]
    said: Said


def exchanges(file: Path) -> Iterator[Exchange]:
    """In their order; those that were cut by the recorder's hand are left out."""
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        request, chunks = row["request"], row["chunks"]
        if isinstance(request, list):
            path, body = request[1], request[4]
        else:
            path, body, chunks = request["path"], request["body"], [one[2] for one in chunks]
        try:
            asked = json.loads(body)
        except ValueError:
            asked = {}
        if row["status"] is not None and not row.get("cut"):
            said = Said("".join(chunks).encode(), int(row["status"]))
            yield Exchange(path, asked if isinstance(asked, dict) else {}, said)


def ollama(file: Path) -> Iterator[Metric]:
    """One page of the collector for each list that this file holds.

    What else a page needs is taken from the same version's other files, the longest list of tags.
    """
    answers = {"/api/version": say({"version": "0.0.0"})}
    family = [one for other in sorted(file.parents[1].rglob("*.jsonl")) for one in exchanges(other)]
    for one in family:
        told = answers.get(one.path, Said(b""))
        if one.said.status != 200:
            continue
        if one.path == "/api/show":
            name = str(one.asked.get("model") or one.asked.get("name"))
            answers[f"/api/show {name}"] = one.said
        elif one.path == "/api/tags" and len(one.said.body) > len(told.body):
            answers["/api/tags"] = one.said
    answers["/api/ps"] = say({"models": []})
    with status_server(answers, otherwise=say({"error": "not found"}, 404)) as server:
        probe = Probe(server.url, kind="ollama")
        yield from probe.collector.collect()
        for one in exchanges(file):
            whole = one.said.status == 200 and one.said.body.strip()  # a HEAD has no body
            if one.path in ("/api/ps", "/api/tags", "/api/version") and whole:
                server.answers[one.path] = one.said
                yield from probe.collector.collect()


def engine(file: Path) -> Iterator[Metric]:
    """A page of metrics of vLLM, SGLang or llama.cpp, beside a list of the models it names."""
    kind = next(kind for folder, kind in KINDS.items() if folder in file.parts)
    page = Said(file.read_bytes(), content_type=TEXT)
    answers = {"/v1/models": say({}, 401), "/metrics": page}
    if kind == "llamacpp":
        answers["/v1/models"] = say({"data": [{"id": "m", "owned_by": "llamacpp"}]})
        answers["/health"] = say({"status": "ok"})
    with status_server(answers) as server:
        yield from Probe(server.url, kind=kind).collector.collect()


def llamacpp(file: Path) -> Iterator[Metric]:
    """Its list of models, beside the recordings that lie with it."""
    answers = {"/health": say({"status": "ok"}), "/v1/models": _whole(file)}
    for name in ("props", "slots-busy"):
        answers[f"/{name.removesuffix('-busy')}"] = _whole(file.with_name(f"{name}.json"))
    with status_server(answers) as server:
        yield from Probe(server.url).collector.collect()


def listing(file: Path) -> Iterator[Metric]:
    """A list of models by itself: what kind of server it is, too, is found from it."""
    path = "/api/v0/models" if "api-v0" in file.name else "/v1/models"
    answers = {"/v1/models": _whole(file), path: _whole(file)}
    with status_server(answers, otherwise=LMSTUDIO_OTHERWISE) as server:
        yield from Probe(server.url).collector.collect()


def _whole(file: Path) -> Said:
    return Said(file.read_bytes())
