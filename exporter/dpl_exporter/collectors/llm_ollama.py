"""Ollama: what is installed, what is loaded, until when.

Source: GET /api/version, /api/tags, /api/ps; POST /api/show once per digest. Nothing on its wire
tells running or waiting requests. Names made from the same weights share one runner and /api/ps
lists only the first of them: so a name is loaded when its *weights* are, while the runner's memory,
loads and unloads are told of that first name alone, so that a sum counts it once. The weights'
digest is the blob in the FROM line of /api/show's modelfile.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import Metric

from dpl_exporter.collectors.answers import MOST_LISTED, number, part, rows, text
from dpl_exporter.collectors.models import Model, choose, model_families
from dpl_exporter.collectors.transitions import Transitions
from dpl_exporter.errors import LlmBadAnswer, LlmError, LlmUnreachable
from dpl_exporter.local_http import Calls

FOR_EVER = 50 * 365 * 86400.0
"""keep_alive -1 gives an expiry in the year 2319: beyond this many seconds it is no time."""
NOT_TOLD = "unknown"
"""What it says of a file that does not tell its quantisation."""
ASK_AGAIN = 300.0
FROM_BLOB = re.compile(r"^FROM .*sha256[-:]([0-9a-f]{64})\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Shown:
    """What /api/show told about one digest, which never changes."""

    weights: str
    """Hex digest; empty where the modelfile names none."""
    context_max: float | None


class OllamaBackend:
    """One Ollama server. Not safe for threads: the guard never runs it twice at once."""

    kind = "ollama"
    collector = "llm_ollama"
    api = "ollama"
    metrics_path = None

    def __init__(self, environment: Mapping[str, str], wall: Callable[[], float]) -> None:
        self._wall = wall
        self._shown: dict[str, Shown] = {}
        self._mute: dict[str, float] = {}
        """Digest that it could not show -> when it was asked."""
        self._transitions = Transitions()
        self.version = ""
        parallel = environment.get("OLLAMA_NUM_PARALLEL", "")
        told = parallel.isascii() and parallel.isdigit()
        self.slots: int | None = int(parallel[:6]) if told else 1
        self.slots = max(1, self.slots)  # 0 = Ollama's default, which is 1

    def hello(self, calls: Calls) -> Mapping[str, object]:
        """Raises: LlmError."""
        said = calls.get("/api/version").mapping()
        self.version = text(said, "version")
        if not self.version:
            raise LlmBadAnswer("/api/version without a version")
        return said

    def collect(self, _hello: Mapping[str, object], calls: Calls) -> Iterable[Metric]:
        """Raises: LlmError."""
        listed = rows(calls.get("/api/tags").mapping(), "models", MOST_LISTED)
        running = rows(calls.get("/api/ps").mapping(), "models")
        tags = self._chosen([row for row in listed if _is_here(row)], running)
        here = set(map(_digest, tags))
        self._shown = {digest: shown for digest, shown in self._shown.items() if digest in here}
        self._mute = {digest: since for digest, since in self._mute.items() if digest in here}
        self._ask_about(tags, calls)
        loaded = {text(row, "name"): number(row, "context_length") for row in running}
        self._transitions.look(loaded, installed=[text(row, "name") for row in tags])
        return model_families(self.kind, self._models(tags, running))

    def _chosen(
        self, tags: list[Mapping[str, object]], running: list[Mapping[str, object]]
    ) -> list[Mapping[str, object]]:
        names = {text(row, "name") for row in running}
        weights = {self._weights(row) for row in running} - {""}
        return choose(
            tags,
            name=lambda row: text(row, "name"),
            loaded=lambda row: text(row, "name") in names or self._weights(row) in weights,
        )

    def _ask_about(self, tags: list[Mapping[str, object]], calls: Calls) -> None:
        """Ask once per digest; where time runs out the rest is asked for at the next page."""
        for row in tags:
            digest, now = _digest(row), self._wall()
            if digest in self._shown or abs(now - self._mute.get(digest, 0.0)) < ASK_AGAIN:
                continue
            try:
                said = calls.post("/api/show", {"model": text(row, "name")}).mapping()
            except LlmUnreachable:
                return
            except LlmError:
                self._mute[digest] = now  # deleted in between, or a model that it cannot show
                continue
            self._shown[digest] = read_show(said)

    def _models(
        self, tags: list[Mapping[str, object]], running: list[Mapping[str, object]]
    ) -> list[Model]:
        by_name = {text(row, "name"): row for row in running}
        by_weights = {self._weights(row): row for row in running if self._weights(row)}
        models = []
        for row in tags:
            name = text(row, "name")
            runner = by_name.get(name) or by_weights.get(self._weights(row))
            listed = by_name.get(name)
            shown = self._shown.get(_digest(row))
            details = part(row, "details")
            models.append(
                Model(
                    name=name,
                    loaded=runner is not None,
                    family=text(details, "family"),
                    parameter_size=text(details, "parameter_size"),
                    quantization=text(details, "quantization_level").removeprefix(NOT_TOLD),
                    digest=_digest(row)[:12],
                    weights=shown.weights[:12] if shown else "",
                    size=number(row, "size"),
                    memory=number(listed, "size") if listed else None,
                    gpu_memory=number(listed, "size_vram") if listed else None,
                    context=number(runner, "context_length") if runner else None,
                    context_max=_context_max(shown, details),
                    expires=self._expires(runner) if runner else None,
                    loads=self._transitions.loads(name),
                    unloads=self._transitions.unloads(name),
                )
            )
        return models

    def _weights(self, row: Mapping[str, object]) -> str:
        """The weights' digest; the manifest's own where nothing is known."""
        shown = self._shown.get(_digest(row))
        return (shown.weights if shown else "") or _digest(row)

    def _expires(self, row: Mapping[str, object]) -> float | None:
        """Seconds since 1970. It stands still during a request, so it may lie in the past."""
        try:
            expires = datetime.fromisoformat(text(row, "expires_at")).timestamp()
        except (ValueError, OverflowError):
            return None
        return expires if 0 < expires < self._wall() + FOR_EVER else None


def read_show(said: Mapping[str, object]) -> Shown:
    """Weights and greatest context from /api/show."""
    blob = FROM_BLOB.search(text(said, "modelfile"))
    facts = part(said, "model_info")
    lengths = [number(facts, key) for key in facts if key.endswith(".context_length")]
    return Shown(blob[1] if blob else "", lengths[0] if lengths else None)


def _context_max(shown: Shown | None, details: Mapping[str, object]) -> float | None:
    if shown and shown.context_max is not None:
        return shown.context_max
    return number(details, "context_length")


def _is_here(row: Mapping[str, object]) -> bool:
    """Cloud models are listed too, but their prompts would leave the machine."""
    return bool(text(row, "name")) and not text(row, "remote_host")


def _digest(row: Mapping[str, object]) -> str:
    return text(row, "digest").removeprefix("sha256:")
