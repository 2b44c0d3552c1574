"""The LLM server's own metrics, unchanged, for /metrics/<backend>; as a page of metrics and as
nothing else, since a browser would run what it takes for a page of ours.

A server that is bound to loopback cannot be scraped from elsewhere; so its own dashboards keep
working.
"""

import re
from collections.abc import Container
from dataclasses import replace

from dpl_exporter.collectors.llm import LlmCollector
from dpl_exporter.errors import LlmError, NotFound, Unavailable
from dpl_exporter.local_http import Answer

SECONDS = 4.0
"""llama.cpp answers between two batches, which can take seconds on a CPU."""
NONE = Answer(200, "text/plain; version=0.0.4; charset=utf-8", b"")
HAS_NONE = (404, 405, 501)
METRICS = re.compile(r"(text/plain|application/openmetrics-text)( *;[ -~]*)?", re.I)
"""Types of content that pass through, on one line."""


def engine_metrics(llm: LlmCollector, kinds: Container[str], kind: str) -> Answer:
    """Empty where the server has none (LM Studio says so with 200 and a JSON error).

    Raises: NotFound for a kind that it is not; Unavailable while it does not answer.
    """
    backend = llm.backend
    if backend is None and kind in kinds:
        raise Unavailable("the LLM server has not yet said what it is")
    if backend is None or backend.kind != kind:
        raise NotFound(f"the LLM server here is no {kind[:40]}")
    if backend.metrics_path is None:
        return NONE
    try:
        answer = llm.calls(SECONDS).page(backend.metrics_path)
    except LlmError as error:
        raise Unavailable(f"its metrics cannot be had: {error.message}") from None
    if answer.status in HAS_NONE or "json" in answer.content_type:
        return NONE
    if answer.status != 200:
        raise Unavailable(f"its metrics cannot be had: status {answer.status}")
    fine = METRICS.fullmatch(answer.content_type)
    return answer if fine else replace(answer, content_type="text/plain")
