"""The LLM server's own metrics, unchanged, for /metrics/<backend>.

A server that is bound to loopback cannot be scraped from elsewhere; so its own dashboards keep
working.
"""

from collections.abc import Container

from dpl_exporter.collectors.llm import LlmCollector
from dpl_exporter.errors import LlmError, NotFound, Unavailable
from dpl_exporter.local_http import Answer, Calls

SECONDS = 4.0
"""llama.cpp answers between two batches, which can take seconds on a CPU."""
NONE = Answer(200, "text/plain; version=0.0.4; charset=utf-8", b"")
HAS_NONE = (404, 405, 501)


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
        answer = Calls(llm.url, SECONDS).get(backend.metrics_path)
    except LlmError as error:
        raise Unavailable(f"its metrics cannot be had: {error.message}") from None
    if answer.status in HAS_NONE or "json" in answer.content_type:
        return NONE
    if answer.status != 200:
        raise Unavailable(f"its metrics cannot be had: status {answer.status}")
    return answer
