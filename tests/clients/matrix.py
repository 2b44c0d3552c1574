"""Runs the clients: each once, in its own environment, against every target it can speak to."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.clients import CLIENTS, ROOT, Client, python_of
from tests.clients.expected import wrong
from tests.clients.stage import Stage, Target

PATIENCE = 180.0
"""Seconds for one client with all its features; most need three."""


@dataclass(frozen=True)
class Verdict:
    """What came of one feature at one target."""

    target: str
    feature: str
    fault: str
    """"" where it is right."""
    routed: bool
    """There was a router in between."""


class Runs:
    """Each client runs once, two at a time."""

    def __init__(self, stage: Stage, home: Path, clients: Iterable[Client]) -> None:
        """`clients` begin at once; others when they are first asked for."""
        self._stage = stage
        self._home = home
        self._pool = ThreadPoolExecutor(2)
        self._begun: dict[str, Future[Sequence[Verdict]]] = {}
        for client in clients:
            self._begin(client)

    def _begin(self, client: Client) -> Future[Sequence[Verdict]]:
        if client.name not in self._begun:
            self._begun[client.name] = self._pool.submit(run, client, self._stage, self._home)
        return self._begun[client.name]

    def of(self, client: Client) -> Sequence[Verdict]:
        return self._begin(client).result(PATIENCE * len(CLIENTS))

    def routed(self, client: Client, feature: str) -> Sequence[Verdict]:
        """With each kind of node behind the router."""
        return [one for one in self.of(client) if one.routed and one.feature == feature]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def run(client: Client, stage: Stage, home: Path) -> Sequence[Verdict]:
    targets = {name: each for name, each in stage.targets.items() if client.speaks_to(each)}
    said = told(client, targets, home)
    return [
        Verdict(
            name,
            feature,
            wrong(client, feature, name, target, said[name][feature]),
            target.url == stage.url,
        )
        for name, target in targets.items()
        for feature in client.asked_of(target)
    ]


def told(client: Client, targets: Mapping[str, Target], home: Path) -> Any:
    """What the client's script printed."""
    calls = {
        "client": client.name,
        "targets": {
            name: {
                "target": {"url": target.url, **target.models},
                "features": client.asked_of(target),
            }
            for name, target in targets.items()
        },
    }
    command = [python_of(client.environment), "-m", f"tests.clients.scripts.{client.script}"]
    done = subprocess.run(
        [*command, *client.arguments],
        cwd=ROOT,
        env=environment(home) | {"CLIENT_CALLS": json.dumps(calls)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{client.name}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def environment(home: Path) -> dict[str, str]:
    """A person's, without what is set on this machine. Nothing calls home."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGSMITH_TRACING": "false",
    }
