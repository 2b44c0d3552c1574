"""The runbooks as tests read them: their headings and the commands in their blocks."""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "prometheus" / "runbooks"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Runbook:
    alert: str
    text: str

    @property
    def headings(self) -> list[str]:
        return re.findall(r"^## (.+)$", self.text, re.MULTILINE)

    @property
    def commands(self) -> list[str]:
        """In the blocks, a line each; `#` says what they show."""
        lines = "".join(BLOCK.findall(self.text)).splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    @property
    def queries(self) -> list[str]:
        """What the commands ask of Prometheus."""
        found = (re.fullmatch(r"promtool query instant \S+ '(.+)'", line) for line in self.commands)
        return [match[1] for match in found if match]

    @property
    def verbs(self) -> set[tuple[str, ...]]:
        """Every `dpl VERB` or `dpl VERB WORD` in the page, in blocks and in sentences."""
        spans = [*self.commands, *re.findall(r"`([^`\n]+)`", self.text)]
        lines = [span.split() for span in spans if span.startswith("dpl ")]
        return {tuple(word for word in line[1:3] if word.islower()) for line in lines}


def read_runbooks() -> list[Runbook]:
    return [
        Runbook(path.stem, path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.md"))
    ]
