"""What an engine computes now, as its own page of metrics tells: running, waiting, KV cache.

Such a page has up to 90 KB, of which three lines matter: it is searched, and only they are parsed.
It is written by the loop that decodes, so in a long prefill it may be silent for seconds while all
else is well: a reading is kept for half a minute.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from dpl_exporter.collectors.answers import plausible
from dpl_exporter.errors import LlmError, LlmUnreachable
from dpl_exporter.local_http import Calls

KEEP = 30.0
MOST_LINES = 700
"""Of a page, under one name: one of each model of each of its engines."""
LONGEST_LINE = 1000
"""Of characters. The time to parse a line grows with the square of its labels."""


@dataclass(slots=True)
class Work:
    """Requests, requests, part of the cache (0 to 1); None = it does not tell."""

    running: float | None = None
    waiting: float | None = None
    kv_cache: float | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """What an engine calls its series, the newer name first."""

    running: str
    waiting: str
    kv_cache: tuple[str, ...]


VLLM = Names(
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
)
SGLANG = Names("sglang:num_running_reqs", "sglang:num_queue_reqs", ("sglang:token_usage",))
LLAMACPP = Names(
    "llamacpp:requests_processing",
    "llamacpp:requests_deferred",
    ("llamacpp:kv_cache_usage_ratio",),
)


def read_page(page: str, names: Names) -> Mapping[str, Work]:
    """By the label `model_name`, empty where there is none: several engines of a model together."""
    found: dict[str, Work] = {}
    for sample in _samples(page, (names.running, names.waiting, *names.kv_cache)):
        work = found.setdefault(sample.labels.get("model_name", ""), Work())
        if sample.name == names.running:
            work.running = (work.running or 0.0) + sample.value
        elif sample.name == names.waiting:
            work.waiting = (work.waiting or 0.0) + sample.value
        elif sample.value <= 1.0:
            work.kv_cache = max(work.kv_cache or 0.0, sample.value)
    return found


def _samples(page: str, names: tuple[str, ...]) -> Iterable[Sample]:
    """Of exactly these names; a line that is none, is too long, or has no number is left out."""
    for name in names:
        for line in islice(_lines(page, name), MOST_LINES):
            try:
                (family,) = text_string_to_metric_families(line)
                (sample,) = family.samples
            except (ValueError, KeyError, IndexError):
                continue
            if sample.name == name and plausible(sample.value) is not None:
                yield sample


def _lines(page: str, start: str) -> Iterable[str]:
    """Those that begin so. Of all the others, which may be a million, no list is made."""
    page, start = f"\n{page}\n", f"\n{start}"
    at = page.find(start)
    while at >= 0:
        line = page[at + 1 : page.index("\n", at + 1)]
        if len(line) <= LONGEST_LINE:
            yield line
        at = page.find(start, at + 1)


class EngineWork:
    """Reads it, and remembers what it read last."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._work: Mapping[str, Work] = {}
        self._at = float("-inf")

    def read(self, ask: Callable[[], Mapping[str, Work]]) -> Mapping[str, Work]:
        """What `ask` says; where it raises LlmUnreachable, what it said up to 30 s ago."""
        try:
            self._work = ask()
        except LlmUnreachable:
            return self._work if self._now() - self._at <= KEEP else {}
        self._at = self._now()
        return self._work


def ask_page(calls: Calls, path: str, names: Names) -> Mapping[str, Work]:
    """Empty where it has no such page, or does not show it. Raises: LlmUnreachable."""
    try:
        answer = calls.page(path)
    except LlmUnreachable:
        raise
    except LlmError:
        return {}
    return read_page(answer.body.decode("utf-8", "replace"), names) if answer.status == 200 else {}
