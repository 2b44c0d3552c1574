"""llama.cpp's server: one model, slots, and how many are busy.

Source: GET /health (503 while it loads), /props, /v1/models, /slots, /metrics; the last two can be
switched off (501). /slots and /metrics wait for the decoding loop: in a long prefill they are
silent for seconds while all else is well, so a reading of them is kept for half a minute.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Metric

from dpl_exporter.collectors.answers import number, part, rows, text, whole
from dpl_exporter.collectors.models import Model, model_families
from dpl_exporter.errors import LlmBadAnswer, LlmUnreachable
from dpl_exporter.local_http import Calls

KEEP_BUSY = 30.0
UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


class LlamaCppBackend:
    """One llama.cpp server. Not safe for threads."""

    kind = "llamacpp"
    collector = "llm_llamacpp"
    api = "openai"
    metrics_path = "/metrics"

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._busy: tuple[float | None, float | None] = (None, None)
        self._busy_at = float("-inf")
        self.version = ""
        self.slots: int | None = None

    def hello(self, calls: Calls) -> Mapping[str, object]:
        """Raises: LlmError."""
        return calls.get("/health").mapping()

    def collect(self, _hello: Mapping[str, object], calls: Calls) -> Iterable[Metric]:
        """Raises: LlmError."""
        models = rows(calls.get("/v1/models").mapping(), "data")
        props = calls.told("/props")
        self.version = text(props, "build_info") or self.version
        self.slots = whole(props, "total_slots")
        running, waiting = self._requests(props, calls) if len(models) == 1 else (None, None)
        context = number(part(props, "default_generation_settings"), "n_ctx")
        found = [_model(row, props, context, running, waiting) for row in models]
        return model_families(self.kind, [one for one in found if one.name])

    def _requests(
        self, props: Mapping[str, object], calls: Calls
    ) -> tuple[float | None, float | None]:
        """(running, waiting). With several models (router mode) nobody says whose they are."""
        try:
            running, waiting = _read_metrics(props, calls)
            if running is None:
                running = _read_slots(props, calls)
        except LlmUnreachable:
            if self._now() - self._busy_at > KEEP_BUSY:
                return None, None
            return self._busy
        self._busy, self._busy_at = (running, waiting), self._now()
        return self._busy


def _read_metrics(props: Mapping[str, object], calls: Calls) -> tuple[float | None, float | None]:
    if props.get("endpoint_metrics") is False:
        return None, None
    answer = calls.get("/metrics")
    if answer.status != 200:
        return None, None
    page = answer.body.decode("utf-8", "replace")
    return _sample(page, "llamacpp:requests_processing"), _sample(
        page, "llamacpp:requests_deferred"
    )


def _read_slots(props: Mapping[str, object], calls: Calls) -> float | None:
    if props.get("endpoint_slots") is False:
        return None
    try:
        slots = rows(calls.get("/slots").document())
    except LlmBadAnswer:
        return None
    return float(sum(slot.get("is_processing") is True for slot in slots))


def _sample(page: str, name: str) -> float | None:
    match = re.search(rf"^{re.escape(name)} ([0-9.e+]+)$", page, re.MULTILINE)
    try:
        return float(match[1]) if match else None
    except ValueError:
        return None


def _model(
    row: Mapping[str, object],
    props: Mapping[str, object],
    context: float | None,
    running: float | None,
    waiting: float | None,
) -> Model:
    meta = part(row, "meta")
    return Model(
        name=text(row, "id"),
        loaded=True,
        parameter_size=_in_short(number(meta, "n_params")),
        quantization=text(meta, "ftype") or text(props, "model_ftype"),
        size=number(meta, "size"),
        context=context,
        context_max=number(meta, "n_ctx_train"),
        running=running,
        waiting=waiting,
    )


def _in_short(parameters: float | None) -> str:
    """134515008 -> 134.52M, as Ollama writes it."""
    for unit, letter in UNITS:
        if parameters is not None and parameters >= unit:
            return f"{parameters / unit:.2f}{letter}"
    return ""
