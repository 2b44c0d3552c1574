"""What is wrong, with its evidence and what to do: from the cached view, without the network.

A node of which nothing is found is told as `ok`, so that everyone of them is in the list.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from dpl_router.diagnostics.chain import Chain
from dpl_router.diagnostics.findings import GRAVEST, Diagnosis, Finding
from dpl_router.inventory.mistakes import Mistake
from dpl_router.inventory.types import Node
from dpl_router.nodes.cordons import Cordon
from dpl_router.nodes.lease_client import KeyRefused
from dpl_router.nodes.locks import Lock
from dpl_router.nodes.slots import NodeSlots
from dpl_router.scheduling.core import SchedulerCore
from dpl_router.scheduling.health import Circuit
from dpl_router.scheduling.node import SLOTS
from dpl_router.scheduling.types import NodeFacts
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.view import FleetView

FEW = 5
"""So many names are told."""


class Doctor:
    """`mistakes`: why nodes.yaml as it lies there is not the one in use; none where it is.
    `silence`: as of `Fleet`. `keys`: a keys file says who may call."""

    def __init__(
        self,
        view: FleetView,
        core: SchedulerCore,
        mistakes: Callable[[], Sequence[Mistake]],
        cordons: Callable[[str], Sequence[Cordon]],
        lock: Callable[[str], Lock | None],
        slots: Mapping[str, NodeSlots],
        silence: Callable[[str, float], float | None],
        chain: Chain,
        *,
        keys: bool,
        nodes_file: Path,
    ) -> None:
        self._view = view
        self._core = core
        self._mistakes = mistakes
        self._cordons = cordons
        self._lock = lock
        self._slots = slots
        self._silence = silence
        self._chain = chain
        self._keys = keys
        self._nodes_file = nodes_file

    def diagnosis(self) -> Diagnosis:
        now = time.monotonic()
        facts = {one.node: one for one in self._view.facts(now)}
        findings = list(self._of_all(facts))
        for node in self._view.inventory.nodes:
            found = list(self._of(node, facts[node.name], now))
            findings += found or [self._well(node, facts[node.name])]
        return Diagnosis(sorted(findings, key=lambda one: GRAVEST.index(one.severity)))

    def _well(self, node: Node, facts: NodeFacts) -> Finding:
        loaded = sum(model.loaded is not False for model in facts.models.values())
        models = "1 model" if loaded == 1 else f"{loaded} models"
        return Finding("ok", node.name, "nothing is wrong", f"answers, {models} loaded", "")

    def _of(self, node: Node, facts: NodeFacts, now: float) -> Iterator[Finding]:
        check = self._view.check(node.name)
        if check is None:
            yield Finding("info", node.name, "not asked yet", "the router has just started", "wait")
            return
        if not check.ok:
            yield self._silent(node, check, now)
        elif not facts.models:
            yield Finding(
                "warning",
                node.name,
                "it serves no model",
                f"its list holds {len(check.models)}, none of which may be used here",
                "pull one (dpl pull MODEL --on NODE), or see `models` and `remote_models` in "
                "nodes.yaml",
            )
        yield from self._barred(node, facts, now)
        yield from self._working(node, facts, now)
        yield from self._leased(node)
        yield from self._measured(node, now)
        yield from self._names(node)

    def _silent(self, node: Node, check: Check, now: float) -> Finding:
        """An open circuit is told with it: both have one cause."""
        asked = node.url + ("/api/tags" if node.kind == "ollama" else "/v1/models")
        problem = check.problem or "no answer to the model list"
        if check.stranger:
            auto = node.kind == "auto"
            return Finding(
                "critical",
                node.name,
                f"it answers, but not as {'an LLM server' if auto else node.kind}",
                f"{problem} (GET {asked})",
                f"see its url in nodes.yaml{'' if auto else '; try kind: auto'}",
            )
        left_alone = "; its circuit is open, it is tried again by itself"
        return Finding(
            "critical",
            node.name,
            "its LLM server does not answer",
            problem + left_alone * self._is_left_alone(node, now),
            f"see whether it runs and listens: curl {asked}; then url and kind in nodes.yaml",
        )

    def _is_left_alone(self, node: Node, now: float) -> bool:
        return self._core.circuits(now).get(node.name) == Circuit.OPEN

    def _barred(self, node: Node, facts: NodeFacts, now: float) -> Iterator[Finding]:
        if node.cordoned:
            yield Finding(
                "info",
                node.name,
                "cordoned: nothing new is sent to it",
                "nodes.yaml says cordoned: true",
                "take the line out when it shall serve again",
            )
        for cordon in self._cordons(node.name):
            yield _cordoned(cordon)
        lock = self._lock(node.name)
        if lock is not None:
            yield _locked(lock)
        elif facts.exclusive:
            yield Finding(
                "warning",
                node.name,
                "somebody holds the whole node",
                "its exporter tells of an exclusive lease that is not ours",
                f"wait for its end; dpl unlock {node.name} takes it from whoever holds it",
            )
        check = self._view.check(node.name)
        if check is not None and check.ok and self._is_left_alone(node, now):
            yield Finding(
                "critical",
                node.name,
                "requests to it failed, so it is left alone for a while",
                "its circuit is open",
                "read the server's own log; the router tries it again by itself",
            )

    def _working(self, node: Node, facts: NodeFacts, now: float) -> Iterator[Finding]:
        busy, silent = self._core.busy(node.name), self._silence(node.name, now)
        if silent is not None:
            yield Finding(
                "warning",
                node.name,
                f"no word for {silent:.0f} s, {_requests(busy)} open",
                "it may load a model, read a long prompt or write an answer that comes whole; "
                "else it hangs",
                "see its GPU and the server's own log; the runbook DplNodeWedged",
            )
        known = [slots for slots in (node.slots, facts.slots) if slots is not None]
        queues = self._core.queues()
        waiting = sum(queues[name][0] for name in facts.models.keys() & queues.keys())
        if waiting and busy >= min(known, default=SLOTS):
            yield Finding(
                "info",
                node.name,
                f"full, {waiting} waiting",
                f"{busy} of {min(known, default=SLOTS)} places taken; what waits wants a model "
                "that it serves",
                "wait; another node with the model, or more `slots`, takes more at once",
            )

    def _leased(self, node: Node) -> Iterator[Finding]:
        slots = self._slots.get(node.name)
        failing = slots.failing if slots is not None else None
        if isinstance(failing, KeyRefused):
            yield Finding(
                "warning",
                node.name,
                "its exporter refuses us leases: others do not see that we use the node",
                failing.message,
                "copy the router's keys file to it, or set exporter_key in nodes.yaml",
            )

    def _measured(self, node: Node, now: float) -> Iterator[Finding]:
        if node.exporter is None or self._view.fresh(node.name, now):
            return
        age = self._view.age(node.name, now)
        yield Finding(
            "warning",
            node.name,
            "it is not measured, so it is chosen after those that are",
            "no sample yet" if age is None else f"the last sample is {age:.0f} s old",
            f"see whether its exporter runs: curl {node.exporter}/metrics; `exporter: none` in "
            "nodes.yaml where there shall be none",
        )

    def _names(self, node: Node) -> Iterator[Finding]:
        check, known = self._view.check(node.name), self._view.names.on(node.name)
        missing = [ours for ours in node.aliases if ours not in known]
        if missing and check is not None and check.ok:
            told = ", ".join(f"{ours} → {node.aliases[ours]}" for ours in missing[:FEW])
            yield Finding(
                "warning",
                node.name,
                "an alias names a model that the node does not have",
                told,
                "write the node's own name, as `dpl get models -o wide` shows it",
            )
        remote = [model.name for model in (check.models if check else ()) if model.remote]
        if remote and not node.remote_models:
            yield Finding(
                "info",
                node.name,
                "models that it asks elsewhere are left out",
                ", ".join(remote[:FEW]),
                "remote_models: true in nodes.yaml admits them",
            )

    def _of_all(self, facts: dict[str, NodeFacts]) -> Iterator[Finding]:
        if mistakes := self._mistakes():
            more = [f"and {len(mistakes) - FEW} more"] if len(mistakes) > FEW else []
            yield Finding(
                "warning",
                None,
                "nodes.yaml has mistakes, so the old one is in use",
                "\n".join([*map(str, mistakes[:FEW]), *more]),
                f"dpl config check {self._nodes_file} names each with its line",
            )
        if not self._keys:
            yield Finding(
                "info",
                None,
                "every caller is operator",
                "there is no keys file",
                "fine on one machine; else dpl key new NAME --role user --keys-file keys.yaml",
            )
        yield from self._chain.findings(self._view.mode)
        if self._view.mode == "blind" and self._chain.prometheus() == "none":
            yield Finding(
                "info",
                None,
                "nothing is measured: nodes are chosen by the router's own count",
                "mode blind",
                "start the exporters, and name Prometheus with --prometheus-url",
            )
        yield from self._differing()
        yield from self._idle_pins()

    def _differing(self) -> Iterator[Finding]:
        """One name, but not the same weights: answers would depend on who gives them."""
        odd = self._view.odd()
        for name, nodes in odd.items():
            yield Finding(
                "warning",
                None,
                f"{name} is not the same on all nodes",
                "left out of it, for other weights than most have, or than nodes.yaml pins: "
                + ", ".join(sorted(nodes)),
                "pull it again there, give it another name, or pin the right one in nodes.yaml",
            )
        for name, served in self._view.models(time.monotonic()).items():
            digests = {model.identity: node for node, model in served if model.identity is not None}
            if len(digests) > 1 and name not in odd:  # versions of Ollama alone can do that
                yield Finding(
                    "warning",
                    None,
                    f"{name} is not the same on all nodes",
                    ", ".join(f"{node}: {digest[:12]}" for digest, node in digests.items()),
                    "pull it again on the older one",
                )

    def _idle_pins(self) -> Iterator[Finding]:
        """What nodes.yaml pins, but no node tells of."""
        if not self._view.asked_all():
            return
        told = self._view.models_with_weights()
        for model, digest in self._view.inventory.weights.items():
            if model not in told:
                yield Finding(
                    "warning",
                    None,
                    f"no node tells weights of {model}, so the pin decides nothing",
                    f"weights: {model}: {digest} in nodes.yaml",
                    "see that the name is right and that the nodes' exporters can read the weights",
                )


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"


def _locked(lock: Lock) -> Finding:
    by = f"by {lock.by}: {lock.why}" if lock.why else f"by {lock.by}"
    return Finding(
        "info" if lock.problem is None else "warning",
        lock.node,
        "locked: nothing is sent to it",
        by if lock.problem is None else f"{by}; not held now: {lock.problem}",
        f"dpl unlock {lock.node}, when it shall serve again",
    )


def _cordoned(cordon: Cordon) -> Finding:
    if cordon.source == "operator":
        return Finding(
            "info",
            cordon.node,
            "cordoned: nothing new is sent to it",
            f"by {cordon.by}: {cordon.why}" if cordon.why else f"by {cordon.by}",
            f"dpl uncordon {cordon.node}, when it shall serve again",
        )
    return Finding(
        "warning",
        cordon.node,
        "cordoned by an alert: nothing new is sent to it",
        f"{cordon.by}: {cordon.why}" if cordon.why else cordon.by,
        "see to the cause; it serves again by itself once it is seen well",
    )
