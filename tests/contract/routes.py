"""Whom each alert reaches, as prometheus/tests/routes.txt says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parents[2] / "prometheus" / "tests" / "routes.txt"


@dataclass(frozen=True, slots=True)
class Route:
    """`receivers`: names in the order in which they are told, with commas."""

    receivers: str
    labels: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.labels['alertname']}-{self.labels['severity']}"


def read_routes() -> list[Route]:
    found = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            receivers, *labels = line.split()
            found.append(Route(receivers, dict(label.split("=", 1) for label in labels)))
    return found
