"""The one LLM server of this node: which kind it is, whether it answers, and what it says.

Its kind is probed (at most three GETs, all within the 0.3 s that one page has for it) until it is
known, and then kept; a server that fails for a minute may have been exchanged for another, so that
it is probed again. `dpl_llm_up` is always on the page, 0 when the server is unreachable, and
never a value of before. The collector's name is `llm` until the kind is known, then that kind's:
`llm_ollama`, `llm_llamacpp`, `llm_openai`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from dpl_exporter.collectors.answers import rows, text
from dpl_exporter.collectors.base import Collector, info
from dpl_exporter.collectors.llm_process import LlmProcesses
from dpl_exporter.errors import Failed, LlmBadAnswer, LlmError
from dpl_exporter.local_http import Calls, tls_for
from dpl_exporter.slots import Slots

BUDGET = 0.3
DOUBT = 60.0
"""Seconds without an answer as of the kind that was found, until another is looked for."""
UNKNOWN = "unknown"
OWNERS = {"llamacpp": "llamacpp", "vllm": "vllm", "sglang": "sglang"}
"""`owned_by` in /v1/models -> kind."""
HAS_NONE = 501
NOT_NOW = frozenset({408, 425, 429})
"""Below 500; what else lies there says that the server has no such path, or not for us."""


class Backend(Protocol):
    """One kind of LLM server."""

    @property
    def kind(self) -> str:
        """Label `backend`."""
        ...

    @property
    def collector(self) -> str:
        """Label `collector`."""
        ...

    @property
    def api(self) -> str:
        """The dialect that clients speak with it: ollama or openai."""
        ...

    @property
    def metrics_path(self) -> str | None:
        """Where its own metrics are; None for kinds that have none."""
        ...

    @property
    def version(self) -> str: ...

    @property
    def slots(self) -> int | None:
        """How many requests it computes at once; None where it does not tell."""
        ...

    def hello(self, calls: Calls) -> Mapping[str, object]:
        """Does it answer? What it said goes to `collect`. Raises: LlmError."""
        ...

    def collect(self, hello: Mapping[str, object], calls: Calls) -> Iterable[Metric]:
        """Its models and requests. Raises: LlmError."""
        ...


class LlmCollector(Collector):
    """dpl_llm_up, dpl_llm_info, dpl_llm_probe_duration_seconds, and what the backend tells."""

    def __init__(
        self,
        url: str,
        make: Callable[[str], Backend],
        *,
        kind: str | None,
        slots: Slots,
        processes: LlmProcesses,
        monotonic: Callable[[], float],
        budget: float = BUDGET,
    ) -> None:
        self.url = url
        self.backend: Backend | None = make(kind) if kind else None
        """None until the server has said what it is."""
        self._is_given = kind is not None
        self._well_at = float("-inf")
        self._tls = tls_for(url)
        self._make = make
        self._slots = slots
        self._processes = processes
        self._now = monotonic
        self._budget = budget

    @property
    def name(self) -> str:
        return self.backend.collector if self.backend else "llm"

    def collect(self) -> Iterable[Metric]:
        calls = self.calls(self._budget)
        started = self._now()
        try:
            backend = self._known(calls)
            hello = backend.hello(calls)
        except LlmError as error:
            down = [*self._up(0.0), *self._took(self._now() - started)]
            raise Failed(f"{self.url}: {error.message}", down) from None
        self.backend, self._well_at = backend, started
        head = [*self._up(1.0), *self._took(self._now() - started)]
        head += self._processes.families(backend.kind)
        try:
            said = list(backend.collect(hello, calls))
        except LlmError as error:
            raise Failed(f"{self.url}: {error.message}", head) from None
        self._slots.learn(backend.slots)
        return [*head, *self._info(backend), *said]

    def calls(self, seconds: float) -> Calls:
        """To the server, all of them within that time."""
        return Calls(self.url, seconds, tls=self._tls)

    def _known(self, calls: Calls) -> Backend:
        """The kind that was given or found; found anew where that one is in doubt.

        Raises: LlmError.
        """
        backend = self.backend
        if backend and (self._is_given or self._now() - self._well_at <= DOUBT):
            return backend
        kind = detect(calls)
        return backend if backend and backend.kind == kind else self._make(kind)

    def server_pids(self) -> frozenset[int]:
        """The processes of the server that was found; none where it is on another machine."""
        return self._processes.pids()

    def late(self) -> Iterable[Metric]:
        """Who does not answer in time is not up, whatever was true before."""
        return self._up(0.0)

    def _label(self) -> str:
        return self.backend.kind if self.backend else UNKNOWN

    def _up(self, value: float) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "dpl_llm_up", "1 where the LLM server answered the last probe.", labels=["backend"]
        )
        family.add_metric([self._label()], value)
        yield family

    def _took(self, seconds: float) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "dpl_llm_probe_duration_seconds",
            "How long the probe of the LLM server took.",
            labels=["backend"],
        )
        family.add_metric([self._label()], seconds)
        yield family

    def _info(self, backend: Backend) -> Iterable[Metric]:
        values = {"backend": backend.kind, "version": backend.version, "api": backend.api}
        return info("dpl_llm", "Version and dialect of the LLM server.", [values])


def detect(calls: Calls) -> str:
    """What kind of server answers. LM Studio says 200 to any path, so there the body decides.

    Raises: LlmUnreachable; LlmBadAnswer where it cannot say now what it is, which is also what a
    llama.cpp that still loads does, or answers as no kind that we know.
    """
    listed = _told(calls, "/v1/models")
    for row in rows(listed, "data")[:1]:
        owner = OWNERS.get(text(row, "owned_by"))
        if owner:
            return owner
    if text(_told(calls, "/api/version"), "version"):
        return "ollama"
    if "data" not in listed and text(_told(calls, "/version"), "version"):
        return "vllm"  # it wants a key for its list
    if "data" in listed and isinstance(_told(calls, "/api/v0/models").get("data"), list):
        return "lmstudio"
    if isinstance(listed.get("data"), list):
        return "openai"
    raise LlmBadAnswer("it answers, but as no kind of LLM server that we know (does it load?)")


def _told(calls: Calls, path: str) -> Mapping[str, object]:
    """A JSON object; empty where the server has none there, or not for us.

    Raises: LlmUnreachable; LlmBadAnswer where it may have one, and only does not tell now.
    """
    answer = calls.get(path)
    if answer.status in NOT_NOW or (answer.status >= 500 and answer.status != HAS_NONE):
        raise LlmBadAnswer(f"status {answer.status} of {path} tells no kind (does it load?)")
    try:
        return answer.mapping()
    except LlmBadAnswer:
        return {}
