"""Where the answers come from: LLM servers that run here, the demo model, or a file's nodes."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dpl_router.errors import DplError
from dpl_router.inventory.load import load
from dpl_router.settings import LOOPBACK
from dpl_router.stack.nodes_file import LocalNode, settle, unlisted
from dpl_router.stack.ports import Ports, is_free
from dpl_router.stack.probe import find_servers
from dpl_router.stack.programs import Say, fetch_weights

Consent = Callable[[str], bool]


class NoModel(DplError):
    code = "no_model"


@dataclass(frozen=True, slots=True)
class DemoModel:
    port: int
    weights: Path


@dataclass(frozen=True, slots=True)
class ExporterOf:
    """An exporter that we start: where it listens, and the LLM server that it watches."""

    port: int
    llm_url: str


@dataclass(frozen=True, slots=True)
class Sources:
    nodes_file: Path
    demos: tuple[DemoModel, ...]
    exporters: tuple[ExporterOf, ...]


def choose_sources(
    nodes: Path | None,
    demo_nodes: int,
    data_dir: Path,
    parts_dir: Path,
    ports: Ports,
    say: Say,
    consent: Consent,
) -> Sources:
    """`nodes` None = the stack's own file in `data_dir`; `demo_nodes` 0 = what runs here first.

    Raises: ConfigError where the file is wrong, NoModel, PartMissing.
    """
    servers = [] if demo_nodes or nodes else found_servers(say)
    if not (demo_nodes or servers or nodes):
        demo_nodes = agreed_demo(consent)
    demos = demo_models(demo_nodes, parts_dir, ports, say)
    urls = [f"http://127.0.0.1:{demo.port}" for demo in demos] or [url for _, url in servers]
    kinds = ["demo"] * len(demos) or [kind for kind, _ in servers]
    local = [
        LocalNode(name, url, f"http://127.0.0.1:{ports.take('exporter')}")
        for name, url in zip(names(kinds), urls, strict=True)
    ]
    file = nodes or data_dir / "nodes.yaml"
    for told in listed(file, local, ours=nodes is None):
        say(told)
    return Sources(file, demos, exporters(file, local))


def found_servers(say: Say) -> list[tuple[str, str]]:
    servers = asyncio.run(find_servers())
    for server in servers:
        say(f"found {server.kind} at {server.url} with {len(server.models)} model(s)")
    return [(server.kind, server.url) for server in servers]


def agreed_demo(consent: Consent) -> int:
    if consent("No LLM server with a model runs here. Take the demo model (SmolLM2-135M)?"):
        return 1
    raise NoModel(
        "there is no LLM server to use; start one (Ollama, llama.cpp, vLLM, LM Studio), name "
        "yours with --nodes FILE, or say --demo"
    )


def demo_models(count: int, parts_dir: Path, ports: Ports, say: Say) -> tuple[DemoModel, ...]:
    if not count:
        return ()
    weights = fetch_weights(parts_dir, say)
    return tuple(DemoModel(ports.take("llm"), weights) for _ in range(count))


def names(kinds: Sequence[str]) -> list[str]:
    """One node is `local`; several are `demo-1`, `demo-2`, or named after their servers."""
    if len(kinds) == 1:
        return ["local"]
    if "demo" in kinds:
        return [f"demo-{at}" for at, _ in enumerate(kinds, start=1)]
    return [f"local-{kind}" for kind in kinds]


def listed(file: Path, local: Sequence[LocalNode], ours: bool) -> list[str]:
    if ours:
        return settle(file, local)
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return unlisted(file, text, local)


def exporters(file: Path, local: Sequence[LocalNode]) -> tuple[ExporterOf, ...]:
    """Ours, and those that the file promises on this machine but nobody runs."""
    promised = {port_of(node.exporter): node.url for node in local}
    for node in load(file, os.environ, os.environ.get("DPL_API_KEY")).nodes:
        if node.exporter is None or urlsplit(node.exporter).hostname not in LOOPBACK:
            continue
        port = port_of(node.exporter)
        if port not in promised and is_free(port):
            promised[port] = node.url
    return tuple(ExporterOf(port, url) for port, url in promised.items())


def port_of(url: str) -> int:
    return urlsplit(url).port or 80
