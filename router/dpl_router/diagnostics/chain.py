"""Who watches: Prometheus, Alertmanager, and the heartbeat that comes through both."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from dpl_router.diagnostics.findings import Finding
from dpl_router.metrics import Mode

Health = Literal["ok", "down", "none", "starting"]
"""none: it is not set up."""


@dataclass(frozen=True, slots=True)
class Chain:
    """As the pages show it, so that both say the same."""

    prometheus: Callable[[], Health]
    alertmanager: Callable[[], Health]
    problem: Callable[[], str | None]
    """Why Alertmanager's last call brought nothing."""
    silent: Callable[[float], bool]
    """The heartbeat is overdue at a monotonic time."""

    def findings(self, mode: Mode) -> Iterator[Finding]:
        if self.prometheus() == "down":
            yield Finding(
                "warning",
                None,
                "Prometheus gives no fresh facts",
                f"mode {mode}: "
                + (
                    "the router asks the exporters itself; no rule is evaluated, so no new alert"
                    if mode == "direct"
                    else "nodes are chosen by the router's own checks alone, and no alert is new"
                ),
                "dpl stack start prometheus; where it runs, the runbook DplLoadViewStale",
            )
        if self.alertmanager() == "down":
            yield Finding(
                "warning",
                None,
                "Alertmanager does not answer",
                self.problem() or "no answer",
                "dpl stack start alertmanager",
            )
        if self.silent(time.monotonic()):
            yield Finding(
                "critical",
                None,
                "the alarm chain is silent: alerts may not reach anybody",
                "no heartbeat of Prometheus through Alertmanager",
                "dpl stack status shows what runs; dpl stack start NAME starts what does not",
            )
