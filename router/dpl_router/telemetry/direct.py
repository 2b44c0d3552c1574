"""Mode `direct`: the router scrapes the exporters itself and fills the same facts.

The score is for people and is not computed here. What Prometheus's rules do with one exporter's
exposition, this does as well: a test feeds one page to both and compares the facts.
"""

import asyncio
import math
import re
import time
from collections.abc import Callable, Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from dpl_router.control import Control
from dpl_router.errors import Unavailable
from dpl_router.scheduling.node import SLOTS
from dpl_router.telemetry.sample import NodeSample, PeopleSample, requests, size

SCRAPE_SECONDS = 0.5
LARGEST_PAGE = 512 * 1024
"""Bytes; the exporter's budget of 400 series is far below it."""
CLOCK = "dpl_node_time_seconds"
WORKED = "dpl_exporter_collector_last_success_timestamp_seconds"
JUDGED = ("gpu_", "llm_")
"""How the collectors begin without which nothing is known of a node's work."""


def read_exposition(text: str, now: float) -> tuple[NodeSample, PeopleSample]:
    """One exporter's page as facts, sampled `now` (the router's monotonic clock).

    Raises: Unavailable where the text is no exposition.
    """
    sample, people = NodeSample(sampled_at=now), PeopleSample()
    clock, worked = None, math.inf
    for point in _points(ours(text) or text):
        write = _FACTS.get(point.name)
        if write is not None and math.isfinite(point.value):
            write(sample, people, point)
        elif point.name == CLOCK:
            clock = point.value
        elif point.name == WORKED and point.labels.get("collector", "").startswith(JUDGED):
            worked = min(worked, point.value)
    if clock is not None and worked < math.inf:
        sample.collector_age = clock - worked
    if sample.slots is None and sample.up is not None:
        sample.slots = SLOTS
    if sample.up is not None:
        sample.eligible = sample.up and not sample.exclusive
        sample.accelerator = bool(people.gpus)
    return sample, people


def ours(text: str) -> str:
    """The samples that say a fact: parsing the other nine tenths of a page takes ten times as long,
    in which no stream goes on. Empty where there are none, as in what is no exposition."""
    return "".join(_OURS.findall(text))


def _points(text: str) -> Iterator[Sample]:
    try:
        for family in text_string_to_metric_families(text):
            yield from family.samples
    except (ValueError, KeyError, IndexError) as error:
        raise Unavailable(f"the exporter's page is no exposition: {error}") from error


def _up(sample: NodeSample, _: PeopleSample, point: Sample) -> None:
    sample.up = bool(sample.up) or point.value > 0


def _exclusive(sample: NodeSample, _: PeopleSample, point: Sample) -> None:
    sample.exclusive = sample.exclusive or point.value > 0


def _slots(sample: NodeSample, _: PeopleSample, point: Sample) -> None:
    sample.slots = max(sample.slots or 0, requests(point.value))


def _loaded(sample: NodeSample, _: PeopleSample, point: Sample) -> None:
    model = sample.model(point.labels.get("model", ""))
    model.loaded = bool(model.loaded) or point.value > 0


def _running(sample: NodeSample, _: PeopleSample, point: Sample) -> None:
    model = sample.model(point.labels.get("model", ""))
    model.running = requests((model.running or 0) + point.value)


def _waiting(sample: NodeSample, _: PeopleSample, point: Sample) -> None:
    model = sample.model(point.labels.get("model", ""))
    model.waiting = requests((model.waiting or 0) + point.value)


def _cpu(_: NodeSample, people: PeopleSample, point: Sample) -> None:
    idle, total = people.cpu_seconds or (0.0, 0.0)
    waits = point.labels.get("mode") in ("idle", "iowait")
    people.cpu_seconds = (idle + point.value * waits, total + point.value)


def _memory_total(_: NodeSample, people: PeopleSample, point: Sample) -> None:
    people.memory_total = size(point.value)


def _memory_available(_: NodeSample, people: PeopleSample, point: Sample) -> None:
    if people.memory_total:  # the exporter writes the total first
        people.memory = 1 - point.value / people.memory_total


def _held(_: NodeSample, people: PeopleSample, point: Sample) -> None:
    people.held = point.value > 0


def _size(_: NodeSample, people: PeopleSample, point: Sample) -> None:
    people.sizes[point.labels.get("model", "")] = size(point.value)


def _identity(_: NodeSample, people: PeopleSample, point: Sample) -> None:
    model = point.labels.get("model", "")
    if digest := point.labels.get("digest"):
        people.digests[model] = digest
    if weights := point.labels.get("weights"):
        people.weights[model] = weights


def _gpu_busy(_: NodeSample, people: PeopleSample, point: Sample) -> None:
    people.gpu(point.labels.get("gpu", "")).utilization = point.value


def _gpu_used(_: NodeSample, people: PeopleSample, point: Sample) -> None:
    people.gpu(point.labels.get("gpu", "")).memory_used = size(point.value)


def _gpu_total(_: NodeSample, people: PeopleSample, point: Sample) -> None:
    people.gpu(point.labels.get("gpu", "")).memory_total = size(point.value)


_FACTS: dict[str, Callable[[NodeSample, PeopleSample, Sample], None]] = {
    "dpl_llm_up": _up,
    "dpl_lock_exclusive": _exclusive,
    "dpl_node_slots": _slots,
    "dpl_llm_model_loaded": _loaded,
    "dpl_llm_requests_running": _running,
    "dpl_llm_requests_waiting": _waiting,
    "dpl_node_cpu_seconds_total": _cpu,
    "dpl_node_memory_total_bytes": _memory_total,
    "dpl_node_memory_available_bytes": _memory_available,
    "dpl_lock_held": _held,
    "dpl_llm_model_size_bytes": _size,
    "dpl_llm_model_info": _identity,
    "dpl_gpu_utilization_ratio": _gpu_busy,
    "dpl_gpu_memory_used_bytes": _gpu_used,
    "dpl_gpu_memory_total_bytes": _gpu_total,
}


OURS = frozenset({*_FACTS, CLOCK, WORKED})
_OURS = re.compile(rf"^[ \t]*(?:{'|'.join(sorted(OURS))})[ \t{{].*\n?", re.MULTILINE)


async def scrape(control: Control) -> tuple[NodeSample, PeopleSample]:
    """Raises: Unavailable, UpstreamSilent."""
    asked = time.monotonic()  # not when it came: it may tell of a moment before
    answer = await control.get("/metrics", seconds=SCRAPE_SECONDS, most=LARGEST_PAGE)
    if answer.status != 200:
        raise Unavailable(f"{control.base}/metrics answered {answer.status}")
    text = answer.body.decode("utf-8", "replace")
    return await asyncio.to_thread(read_exposition, text, asked)  # 10 ms and more: not on the loop
