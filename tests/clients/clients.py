"""The clients: what each is called, where it runs, and what it can do at all."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.clients.stage import EVERYTHING, Protocol, Target

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PLACE = Path(os.environ.get("DPL_CLIENTS_DIR", ROOT / ".clients"))

Environment = Literal["", "sdks", "frameworks", "fuzz"]

FEATURES: Mapping[str, str] = {
    "chat": "chat",
    "stream": "stream",
    "usage": "usage of a stream",
    "completion": "completion",
    "options": "stop, seed, limit",
    "tools": "tools",
    "tool_stream": "tools in a stream",
    "schema": "JSON schema",
    "image": "image",
    "thinking": "thinking",
    "embeddings": "embeddings",
    "models": "models",
    "unknown": "unknown model",
    "hang_up": "hang-up",
}


@dataclass(frozen=True)
class Client:
    """`without`: feature -> why it has none. `not_found`: how it tells an unknown model."""

    name: str
    script: str
    protocol: Protocol
    environment: Environment = ""
    arguments: Sequence[str] = ()
    package: str = ""
    """Its distribution, whose version stands in the lock file."""
    not_found: str = ""
    without: Mapping[str, str] = field(default_factory=dict)
    spared: Sequence[str] = ()
    """Models of targets that would show nothing new, where each call costs much."""

    @property
    def features(self) -> list[str]:
        return [one for one in FEATURES if one not in self.without]

    @property
    def version(self) -> str:
        if not self.package:
            return ""
        lock = (HERE / f"requirements-{self.environment}.lock").read_text(encoding="utf-8")
        found = re.search(rf"^{re.escape(self.package)}==(\S+)", lock, re.MULTILINE)
        assert found, f"{self.package} is not in the lock file of {self.environment}"
        return found[1]

    def speaks_to(self, target: Target) -> bool:
        return self.protocol in target.protocols and target.models["chat"] not in self.spared

    def asked_of(self, target: Target) -> list[str]:
        return [one for one in self.features if one in target.can and one in can(self, target)]


LANGCHAINS_OWN = ("options", "completion")
"""It sends `max_completion_tokens` and lists of prompts, which Ollama's /v1 does not know."""


def can(client: Client, target: Target) -> Sequence[str]:
    """What that protocol has there, of all that the target can."""
    if client.protocol == "messages" and target.real:
        return ("chat", "stream", "usage", "options", "models", "unknown")
    if client.protocol == "responses" and target.real:
        return ("chat", "stream", "usage", "unknown")
    if client.name == "langchain-openai" and target.ollamas_v1:
        return [one for one in (*EVERYTHING, "hang_up") if one not in LANGCHAINS_OWN]
    return (*EVERYTHING, "hang_up")


def python_of(environment: Environment) -> str:
    """Raises: FileNotFoundError, which says how to get it."""
    if not environment:
        return sys.executable
    python = PLACE / environment / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"{python} is missing: `make test` makes it")
    return str(python)


def lacking(why: str, *features: str) -> dict[str, str]:
    return dict.fromkeys(features, why)


NO_LIST = lacking("it asks for no list", "models")
NOT_READ = "not tried, since the router passes these on unread"

CLIENTS: Sequence[Client] = (
    Client("openai 3", "openai_sdk", "openai", "sdks", package="openai", not_found="NotFoundError"),
    Client(
        "openai 2",
        "openai_sdk",
        "openai",
        "frameworks",
        package="openai",
        not_found="NotFoundError",
    ),
    Client(
        "openai 3, Responses",
        "openai_responses",
        "responses",
        "sdks",
        package="openai",
        not_found="NotFoundError",
        without=lacking(
            NOT_READ,
            *("completion", "options", "schema", "image", "thinking", "embeddings", "models"),
        ),
    ),
    Client("ollama", "ollama_sdk", "ollama", "sdks", package="ollama", not_found="ResponseError"),
    Client(
        "anthropic",
        "anthropic_sdk",
        "messages",
        "sdks",
        package="anthropic",
        not_found="NotFoundError",
        without={
            **lacking("the protocol has none", "completion", "embeddings"),
            "schema": NOT_READ,
        },
    ),
    Client(
        "langchain-openai",
        "langchain",
        "openai",
        "frameworks",
        ["openai"],
        package="langchain-openai",
        not_found="OpenAIModelNotFoundError",
        without={**NO_LIST, "thinking": "it drops the field"},
    ),
    Client(
        "langchain-ollama",
        "langchain",
        "ollama",
        "frameworks",
        ["ollama"],
        package="langchain-ollama",
        not_found="ResponseError",
        without=NO_LIST,
    ),
    Client(
        "litellm, `openai/`",
        "litellm_sdk",
        "openai",
        "frameworks",
        ["openai"],
        package="litellm",
        not_found="NotFoundError",
        without=NO_LIST,
    ),
    Client(
        "litellm, `ollama_chat/`",
        "litellm_sdk",
        "ollama",
        "frameworks",
        ["ollama_chat"],
        package="litellm",
        not_found="NotFoundError",
        without=NO_LIST,
    ),
    Client(
        "instructor",
        "instructor_sdk",
        "openai",
        "frameworks",
        package="instructor",
        not_found="InstructorRetryException",
        without=lacking(
            "it makes objects of answers, by tools or by a schema",
            *("chat", "stream", "usage", "completion", "options", "image", "thinking"),
            *("embeddings", "models", "hang_up"),
        ),
    ),
    Client(
        "llm",
        "llm_cli",
        "openai",
        "frameworks",
        package="llm",
        not_found="exit 1",
        spared=["llama-chat"],
        without={
            "models": "it lists those that are written down for it",
            "thinking": "it shows none of models that are written down for it",
            "embeddings": "it has none for models that are written down for it",
        },
    ),
    Client("curl, `/v1`", "curl", "openai", "", ["openai"], not_found="404"),
    Client("curl, `/api`", "curl", "ollama", "", ["ollama"], not_found="404"),
    Client(
        "our chat page in Chromium",
        "chat_page",
        "page",
        without=lacking(
            "a page for talking",
            *("chat", "usage", "completion", "tools", "tool_stream", "schema", "image"),
            *("embeddings", "unknown"),
        ),
    ),
)
