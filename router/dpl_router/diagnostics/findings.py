"""What a diagnosis is made of."""

from collections.abc import Sequence
from typing import Literal

import msgspec

Severity = Literal["ok", "info", "warning", "critical"]
GRAVEST: Sequence[Severity] = ("critical", "warning", "info", "ok")


class Finding(msgspec.Struct, frozen=True):
    severity: Severity
    node: str | None
    """None: the router or the fleet as a whole."""
    what: str
    evidence: str
    remedy: str


class Diagnosis(msgspec.Struct, frozen=True):
    findings: list[Finding]
    """The gravest first; every node is in it."""
