"""Recorded facts by PromQL: the one poll, decoded. Never on the request path."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from dpl_router.control import Control, read_json
from dpl_router.errors import Unavailable, UpstreamSilent
from dpl_router.metrics import ViewMetrics
from dpl_router.telemetry import queries
from dpl_router.telemetry.sample import NodeSample, PeopleSample, requests, size

POLL_SECONDS = 1.0
LARGE = 256 * 1024
"""Bytes of an answer, some 200 nodes, from which on it is read beside the loop."""
LONGEST_AGE = 1e9
"""Seconds; what is older is as old."""


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Answer).decode


class Vector:
    """An instant vector; values that are no finite number are left out: NaN is not a fact."""

    def __init__(self, body: bytes) -> None:
        """Raises: Unavailable where `body` is not Prometheus's answer to an instant query."""
        self._points = read_json(_points, body, "Prometheus")

    def __iter__(self) -> Iterator[tuple[str, dict[str, str], float, float]]:
        """(series name, labels, value, time of the value in seconds since 1970)."""
        for labels, value, at in self._points:
            if math.isfinite(value):
                yield labels.get("__name__", ""), labels, value, at


def _points(body: bytes) -> list[tuple[dict[str, str], float, float]]:
    """All or nothing: a value that is no number makes the whole answer doubtful."""
    series = _decode(body).data.result
    return [(one.metric, float(one.value[1]), one.value[0]) for one in series]


def read_facts(body: bytes, now: float) -> dict[str, NodeSample]:
    """The answer to the poll as samples by node; `now` is the router's monotonic clock."""
    samples: dict[str, NodeSample] = {}
    for name, labels, value, at in Vector(body):
        node = labels.get("node")
        write = _FACTS.get(name)
        if node is not None and write is not None:
            sample = samples.setdefault(node, NodeSample())
            if name == queries.SAMPLE_TIME.promql:
                sample.sampled_at = now - min(max(0.0, at - value), LONGEST_AGE)
            else:
                write(sample, labels, value)
    return samples


def read_view(body: bytes) -> dict[str, PeopleSample]:
    """What pages show, by node."""
    samples: dict[str, PeopleSample] = {}
    for name, labels, value, _ in Vector(body):
        node = labels.get("node")
        write = _VIEW.get(name)
        if node is not None and write is not None:
            write(samples.setdefault(node, PeopleSample()), labels, value)
    return samples


T = TypeVar("T")
Write = Callable[[NodeSample, dict[str, str], float], None]
View = Callable[[PeopleSample, dict[str, str], float], None]


def _set(
    field: str, kind: Callable[[float], object]
) -> Callable[[NodeSample | PeopleSample, dict[str, str], float], None]:
    return lambda sample, _labels, value: setattr(sample, field, kind(value))


def _set_model(field: str, kind: Callable[[float], object]) -> Write:
    def write(sample: NodeSample, labels: dict[str, str], value: float) -> None:
        if model := labels.get("model"):
            setattr(sample.model(model), field, kind(value))

    return write


_FACTS: dict[str, Write] = {
    queries.SAMPLE_TIME.promql: lambda *_: None,  # needs the answer's own time
    queries.UP.promql: _set("up", bool),
    queries.ELIGIBLE.promql: _set("eligible", bool),
    queries.EXCLUSIVE.promql: _set("exclusive", bool),
    queries.SLOTS.promql: _set("slots", requests),
    queries.MEMORY_FREE.promql: _set("memory_free", size),
    queries.ACCELERATOR.promql: _set("accelerator", bool),
    queries.COLLECTOR_AGE.promql: _set("collector_age", float),
    queries.RUNNING.promql: _set_model("running", requests),
    queries.WAITING.promql: _set_model("waiting", requests),
    queries.LOADED.promql: _set_model("loaded", bool),
    queries.DECODE.promql: _set_model("decode", float),
}


def _set_gpu(field: str, kind: Callable[[float], object]) -> View:
    def write(sample: PeopleSample, labels: dict[str, str], value: float) -> None:
        setattr(sample.gpu(labels.get("gpu", "")), field, kind(value))

    return write


def _set_score(sample: PeopleSample, labels: dict[str, str], value: float) -> None:
    sample.scores[labels.get("model", "")] = value


def _set_size(sample: PeopleSample, labels: dict[str, str], value: float) -> None:
    sample.sizes[labels.get("model", "")] = size(value)


def _set_identity(sample: PeopleSample, labels: dict[str, str], _value: float) -> None:
    model = labels.get("model", "")
    if digest := labels.get("digest"):
        sample.digests[model] = digest
    if weights := labels.get("weights"):
        sample.weights[model] = weights


_VIEW: dict[str, View] = {
    queries.CPU.promql: _set("cpu", float),
    queries.MEMORY.promql: _set("memory", float),
    queries.MEMORY_TOTAL.promql: _set("memory_total", size),
    queries.LOAD.promql: _set("load", float),
    queries.SCORE.promql: _set_score,
    queries.HELD.promql: _set("held", bool),
    queries.MODEL_SIZE.promql: _set_size,
    queries.MODEL_INFO.promql: _set_identity,
    queries.GPU.promql: _set_gpu("utilization", float),
    queries.GPU_MEMORY_USED.promql: _set_gpu("memory_used", size),
    queries.GPU_MEMORY_TOTAL.promql: _set_gpu("memory_total", size),
}


class PrometheusSource:
    """Asks one Prometheus for recorded facts; every failure is counted by its reason."""

    def __init__(self, control: Control, metrics: ViewMetrics) -> None:
        self._control = control
        self._metrics = metrics

    async def facts(self) -> dict[str, NodeSample]:
        """Raises: Unavailable, UpstreamSilent."""
        body = await self._ask("facts", queries.FACTS)
        now = time.monotonic()
        return await self._read(body, lambda said: read_facts(said, now))

    async def view(self) -> dict[str, PeopleSample]:
        """Raises: Unavailable, UpstreamSilent."""
        return await self._read(await self._ask("view", queries.VIEW), read_view)

    async def _read(self, body: bytes, read: Callable[[bytes], T]) -> T:
        try:
            if len(body) < LARGE:
                return read(body)
            return await asyncio.to_thread(read, body)  # 1,000 nodes take 60 ms and more
        except Unavailable:
            self._metrics.query_failures["empty"].inc()  # nothing in it is of use
            raise

    async def _ask(self, name: str, wanted: Sequence[queries.Query]) -> bytes:
        started = time.monotonic()
        try:
            answer = await self._control.get(
                "/api/v1/query", {"query": queries.selector(wanted)}, seconds=POLL_SECONDS
            )
        except UpstreamSilent:
            self._metrics.query_failures["timeout"].inc()
            raise
        except Unavailable:
            self._metrics.query_failures["connect"].inc()
            raise
        self._metrics.query_seconds.labels(name).observe(time.monotonic() - started)
        if answer.status != 200:
            self._metrics.query_failures["status"].inc()
            raise Unavailable(f"Prometheus answered {answer.status}")
        return answer.body
