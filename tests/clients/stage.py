"""What the clients talk to: `dpl up` with its real model, and a node of each kind beside that.

    with standing(folder) as stage:
        stage.url, stage.targets["ollama node"], stage.targets["the fake Ollama itself"]

Which node answers follows from the model's name.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx
import yaml

from tests.clients.agents_node import FakeAgentsNode
from tests.fakes.faults import Faults
from tests.fakes.ollama import FakeOllama, Model
from tests.fakes.openai import FakeOpenAi
from tests.fakes.server import FakeServer
from tests.system.running import MODEL, Stack, dpl_up, eventually

SAID = "Hello from the fake."
CUT = "Hello from"
STOPPED = "Hello from"
THOUGHT = "Let me think."
LONG = ("word ",) * 200
PACE = Faults(token_delay=0.05)

Protocol = Literal["openai", "ollama", "messages", "responses", "page"]
CHATS: Sequence[Protocol] = ("openai", "ollama", "page")
AGENTS: Sequence[Protocol] = ("messages", "responses")

PLAIN = ("chat", "stream", "usage")
TOOLS = ("tools", "tool_stream")
EVERYTHING = (
    *PLAIN,
    "completion",
    "options",
    *TOOLS,
    "schema",
    "image",
    "thinking",
    "embeddings",
    "models",
    "unknown",
)


@dataclass(frozen=True)
class Target:
    """One server as clients see it, and what can be asked of it."""

    url: str
    can: Sequence[str]
    models: Mapping[str, str]
    """chat, think, embed and slow, as far as they are there."""
    real: bool = False
    """What it says is not known before."""
    node: FakeServer | None = None
    """Who hears it in the end; None: no fake."""
    slow: FakeServer | None = None
    """Who says the words of the slow model."""
    protocols: Sequence[Protocol] = CHATS
    keeps_options: bool = True
    """It ends where `stop` says."""
    ollamas_v1: bool = False
    """Ollama's own /v1 answers; it knows less than others do."""


@dataclass(frozen=True)
class Stage:
    stack: Stack
    targets: Mapping[str, Target] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.stack.url


def models_of(prefix: str) -> list[Model]:
    return [
        Model(f"{prefix}-chat:1b", ("completion", "tools", "vision"), weights=f"{prefix}-chat"),
        Model(f"{prefix}-think:1b", ("completion", "thinking"), weights=f"{prefix}-think"),
        Model(f"{prefix}-embed:1b", ("embedding",), weights=f"{prefix}-embed", embedding=64),
    ]


def names_of(prefix: str) -> dict[str, str]:
    return {what: f"{prefix}-{what}:1b" for what in ("chat", "think", "embed")}


@contextmanager
def standing(folder: Path) -> Iterator[Stage]:
    """Ready once the router lists every model."""
    with ExitStack() as held:
        ollama = held.enter_context(FakeOllama(models=models_of("ollama")))
        openai = held.enter_context(FakeOllama(models=models_of("openai")))
        llama = held.enter_context(FakeOpenAi(model="llama-chat"))
        agents = held.enter_context(FakeAgentsNode())
        slow_ollama = held.enter_context(FakeOllama(model="ollama-slow:1b", tokens=LONG))
        slow_openai = held.enter_context(FakeOpenAi(model="openai-slow", tokens=LONG))
        slow_agents = held.enter_context(FakeAgentsNode(models=["agents-slow"], tokens=LONG))
        for node in (slow_ollama, slow_openai, slow_agents):
            node.faults = PACE
        stack = held.enter_context(dpl_up(folder, "--demo"))
        kinds: dict[FakeServer, str] = {ollama: "ollama", slow_ollama: "ollama", llama: "llamacpp"}
        admit(stack, [*kinds, openai, slow_openai, agents, slow_agents], kinds)
        url = stack.url
        hangs = (*EVERYTHING, "hang_up")
        yield Stage(
            stack,
            {
                "an Ollama node": Target(
                    url,
                    hangs,
                    {**names_of("ollama"), "slow": "ollama-slow:1b"},
                    node=ollama,
                    slow=slow_ollama,
                ),
                "an OpenAI node": Target(
                    url,
                    hangs,
                    {**names_of("openai"), "slow": "openai-slow"},
                    node=openai,
                    slow=slow_openai,
                    ollamas_v1=True,
                ),
                "a llama.cpp node": Target(
                    url,
                    (*PLAIN, *TOOLS, "options", "image", "models"),
                    {"chat": "llama-chat"},
                    node=llama,
                    keeps_options=False,
                ),
                "the real model": Target(
                    url,
                    (*PLAIN, "completion", "options", "schema", "models", "unknown"),
                    {"chat": MODEL},
                    real=True,
                    protocols=(*CHATS, *AGENTS),
                ),
                "a node for agents": Target(
                    url,
                    hangs,
                    {"chat": "agents-chat", "slow": "agents-slow"},
                    node=agents,
                    slow=slow_agents,
                    protocols=AGENTS,
                ),
                "the fake Ollama": Target(
                    ollama.url,
                    EVERYTHING,
                    names_of("ollama"),
                    node=ollama,
                    ollamas_v1=True,
                    protocols=("openai", "ollama"),
                ),
                "the fake OpenAI server": Target(
                    llama.url,
                    (*PLAIN, *TOOLS, "options"),
                    {"chat": "llama-chat"},
                    node=llama,
                    protocols=("openai",),
                    keeps_options=False,
                ),
                "the fake node for agents": Target(
                    agents.url,
                    EVERYTHING,
                    {"chat": "agents-chat"},
                    node=agents,
                    protocols=AGENTS,
                ),
            },
        )


def admit(stack: Stack, nodes: Sequence[FakeServer], kinds: Mapping[FakeServer, str]) -> None:
    """Add them to the nodes file in use, as an operator does, and wait until they are known."""
    file = stack.data_dir / "nodes.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    for number, node in enumerate(nodes, 1):
        fields = {"name": f"fake-{number}", "url": node.url, "exporter": "none"}
        content["nodes"].append({**fields, "kind": kinds.get(node, "openai")})
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    wanted = {"ollama-slow:1b", "openai-slow", "agents-slow", "agents-chat", "llama-chat", MODEL}
    wanted |= set(names_of("ollama").values()) | set(names_of("openai").values())
    eventually(lambda: wanted <= known(stack), 30)


def known(stack: Stack) -> set[str]:
    listed = httpx.get(f"{stack.url}/v1/models", timeout=10).json()["data"]
    return {model["id"] for model in listed}
