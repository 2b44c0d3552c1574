"""Models of an LLM server as families; the same for every kind of server."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from dpl_exporter.collectors.answers import MOST_ROWS, plausible
from dpl_exporter.collectors.base import clean, info

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Model:
    """Bytes, tokens, seconds since 1970; None or empty = the server does not tell."""

    name: str
    loaded: bool
    family: str = ""
    parameter_size: str = ""
    quantization: str = ""
    digest: str = ""
    weights: str = ""
    """First 12 digits of the weights' digest."""
    size: float | None = None
    memory: float | None = None
    gpu_memory: float | None = None
    context: float | None = None
    context_max: float | None = None
    expires: float | None = None
    running: float | None = None
    waiting: float | None = None
    kv_cache: float | None = None
    """Part of it in use, 0 to 1."""
    loads: float | None = None
    unloads: float | None = None


def choose(
    found: Iterable[Found], name: Callable[[Found], str], loaded: Callable[[Found], bool]
) -> list[Found]:
    """At most 100, in the order given, and one of each name as its label shows it.

    Which ones does not depend on that order, which changes: the loaded, then by name. What has no
    name is left out.
    """
    best: dict[str, Found] = {}
    for one in found:
        label = clean(name(one))
        if label and (label not in best or (loaded(one) and not loaded(best[label]))):
            best[label] = one
    first = sorted(best, key=lambda label: (not loaded(best[label]), label))
    kept = set(first[:MOST_ROWS])
    return [one for label, one in best.items() if label in kept]


def choose_models(models: Iterable[Model]) -> list[Model]:
    """See `choose`."""
    return choose(models, lambda one: one.name, lambda one: one.loaded)


def model_families(backend: str, models: Iterable[Model]) -> Iterable[Metric]:
    """dpl_llm_model_* and dpl_llm_requests_* with the labels backend and model.

    Of those that `choose_models` leaves, and of values that can be true.
    """
    models = choose_models(models)
    yield from info(
        "dpl_llm_model",
        "What the model is.",
        [
            {
                "backend": backend,
                "model": one.name,
                "family": one.family,
                "parameter_size": one.parameter_size,
                "quantization": one.quantization,
                "digest": one.digest,
                "weights": one.weights,
            }
            for one in models
        ],
    )
    for name, help_text, pick in VALUES:
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        family = kind(f"dpl_llm_{name}", help_text, labels=["backend", "model"])
        for one in models:
            value = pick(one)
            if value is not None and plausible(value) is not None:
                family.add_metric([backend, clean(one.name)], value)
        if family.samples:
            yield family


VALUES: tuple[tuple[str, str, Callable[[Model], float | None]], ...] = (
    ("model_loaded", "1 loaded, 0 installed only.", lambda m: float(m.loaded)),
    ("model_size_bytes", "Size on disk.", lambda m: m.size),
    ("model_memory_bytes", "Memory in use.", lambda m: m.memory),
    ("model_gpu_memory_bytes", "The part of the memory on the GPU.", lambda m: m.gpu_memory),
    ("model_context_tokens", "Context in use, per request.", lambda m: m.context),
    ("model_context_max_tokens", "Context that is possible.", lambda m: m.context_max),
    (
        "model_expires_timestamp_seconds",
        "When it will be unloaded, since 1970; absent for never.",
        lambda m: m.expires,
    ),
    ("model_loads_total", "Times it was seen to be loaded.", lambda m: m.loads),
    ("model_unloads_total", "Times it was seen to be unloaded.", lambda m: m.unloads),
    ("requests_running", "Requests that are computed now.", lambda m: m.running),
    ("requests_waiting", "Requests that wait in the server.", lambda m: m.waiting),
    ("kv_cache_usage_ratio", "Part of the KV cache in use, 0 to 1.", lambda m: m.kv_cache),
)
