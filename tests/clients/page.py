"""The snippets of docs/clients.md, and how each runs as pasted."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.clients.clients import PLACE, ROOT, Environment, python_of
from tests.clients.matrix import environment

PAGE = ROOT / "docs" / "clients.md"
WRITTEN = "127.0.0.1:8000"
RUN = ("sh", "python")
"""Languages of what is run. `console` and the files of others are proven by test_agents.py."""
WHERE: Mapping[str, Sequence[Environment]] = {
    "curl": [""],
    "openai": ["sdks", "frameworks"],
    "ollama": ["sdks"],
    "anthropic": ["sdks"],
    "langchain-openai": ["frameworks"],
    "langchain-ollama": ["frameworks"],
    "litellm": ["frameworks"],
    "instructor": ["frameworks"],
    "llm": ["frameworks"],
}


@dataclass(frozen=True)
class Snippet:
    heading: str
    language: str
    code: str

    def command(self, where: Environment, url: str) -> list[str]:
        """It, with the router at `url`."""
        code = self.code.replace(WRITTEN, url.removeprefix("http://"))
        shell = ["/bin/sh", "-ec"] if self.language == "sh" else [python_of(where), "-c"]
        return [*shell, code]


def snippets() -> Iterator[Snippet]:
    page = PAGE.read_text(encoding="utf-8")
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        for language, code in re.findall(r"^```(\w+)\n(.*?)^```", body, re.DOTALL | re.MULTILINE):
            yield Snippet(heading, language, code)


def runnable() -> Iterator[tuple[Snippet, Environment]]:
    for snippet in snippets():
        if snippet.language in RUN:
            for where in WHERE[snippet.heading]:
                yield snippet, where


def variables(where: Environment, home: Path) -> dict[str, str]:
    """Of a shell in which that environment is active."""
    active = PLACE / where / "bin" if where else Path(sys.executable).parent
    told = environment(home)
    return told | {"PATH": f"{active}{os.pathsep}{told['PATH']}"}
