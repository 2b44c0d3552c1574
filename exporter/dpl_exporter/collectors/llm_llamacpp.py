"""llama.cpp's server: one model, slots, and how many are busy.

Source: GET /health (503 while it loads), /props, /v1/models, /slots, /metrics; the last two can be
switched off (501), and both are silent in a long prefill (see `engine_work`). With several models
(router mode) each tells whether it is loaded, and nobody tells whose requests they are.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from prometheus_client import Metric

from dpl_exporter.collectors.answers import MOST_LISTED, number, part, rows, text, whole
from dpl_exporter.collectors.engine_work import LLAMACPP, EngineWork, Work, ask_page
from dpl_exporter.collectors.models import Model, choose_models, model_families
from dpl_exporter.collectors.transitions import Transitions
from dpl_exporter.errors import LlmBadAnswer
from dpl_exporter.local_http import Calls

UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


class LlamaCppBackend:
    """One llama.cpp server. Not safe for threads."""

    kind = "llamacpp"
    collector = "llm_llamacpp"
    api = "openai"
    metrics_path = "/metrics"

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._work = EngineWork(monotonic)
        self._transitions = Transitions()
        self.version = ""
        self.slots: int | None = None

    def hello(self, calls: Calls) -> Mapping[str, object]:
        """Raises: LlmError."""
        return calls.get("/health").mapping()

    def collect(self, _hello: Mapping[str, object], calls: Calls) -> Iterable[Metric]:
        """Raises: LlmError."""
        listed = rows(calls.get("/v1/models").mapping(), "data", MOST_LISTED)
        props = calls.told("/props")
        self.version = text(props, "build_info") or self.version
        self.slots = whole(props, "total_slots")
        models = choose_models(_model(row, props) for row in listed)
        if len(models) == 1:
            work = self._work.read(lambda: _read_work(props, calls)).get("", Work())
            models = [
                replace(one, running=work.running, waiting=work.waiting, kv_cache=work.kv_cache)
                for one in models
            ]
        if any(_state(row) for row in listed):
            models = self._transitions.counted(models)
        return model_families(self.kind, models)


def _read_work(props: Mapping[str, object], calls: Calls) -> Mapping[str, Work]:
    """Raises: LlmUnreachable."""
    told: Mapping[str, Work] = {}
    if props.get("endpoint_metrics") is not False:
        told = ask_page(calls, "/metrics", LLAMACPP)
    return told or {"": Work(running=_read_slots(props, calls))}


def _read_slots(props: Mapping[str, object], calls: Calls) -> float | None:
    if props.get("endpoint_slots") is False:
        return None
    try:
        slots = rows(calls.get("/slots").document())
    except LlmBadAnswer:
        return None
    return float(sum(slot.get("is_processing") is True for slot in slots))


def _state(row: Mapping[str, object]) -> str:
    """loaded, loading, unloaded, …; empty where there is one model, which is loaded."""
    return text(part(row, "status"), "value")


def _model(row: Mapping[str, object], props: Mapping[str, object]) -> Model:
    meta, settings = part(row, "meta"), part(props, "default_generation_settings")
    return Model(
        name=text(row, "id"),
        loaded=_state(row) in ("", "loaded"),
        parameter_size=_in_short(number(meta, "n_params")),
        quantization=text(meta, "ftype") or text(props, "model_ftype"),
        size=number(meta, "size"),
        context=number(settings, "n_ctx") or number(meta, "n_ctx"),
        context_max=number(meta, "n_ctx_train"),
    )


def _in_short(parameters: float | None) -> str:
    """134515008 -> 134.52M, as Ollama writes it."""
    for unit, letter in UNITS:
        if parameters is not None and parameters >= unit:
            return f"{parameters / unit:.2f}{letter}"
    return ""
