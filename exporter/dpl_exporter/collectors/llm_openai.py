"""Servers that speak OpenAI's protocol: vLLM, SGLang, LM Studio, and any other.

Source: GET /v1/models; what it lists is loaded (1). Beyond that, where it can be had: vLLM /version
and /server_info (development mode only), SGLang /get_server_info, the requests and the KV cache of
both on their own /metrics (which is also passed through at /metrics/<backend>), LM Studio
/api/v0/models, which alone tells which of its models are loaded.

A server that wants a key for its list is up all the same; vLLM's page of metrics is open even then
and names the model.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from prometheus_client import Metric

from dpl_exporter.collectors.answers import MOST_LISTED, number, rows, text, whole
from dpl_exporter.collectors.engine_work import SGLANG, VLLM, EngineWork, Names, ask_page
from dpl_exporter.collectors.models import Model, choose_models, model_families
from dpl_exporter.collectors.transitions import Transitions
from dpl_exporter.errors import LlmBadAnswer, LlmError
from dpl_exporter.local_http import Calls

WANTS_A_KEY = (401, 403)


class OpenAiBackend:
    """One server of the given kind. Not safe for threads."""

    collector = "llm_openai"
    api = "openai"
    metrics_path: str | None = "/metrics"

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.version = ""
        self.slots: int | None = None
        self._asked = False

    def hello(self, calls: Calls) -> Mapping[str, object]:
        """Raises: LlmError."""
        try:
            return _listed(calls)
        except LlmError:
            self._asked = False  # it may come back as another version
            raise

    def collect(self, hello: Mapping[str, object], calls: Calls) -> Iterable[Metric]:
        """Raises: LlmError."""
        if not self._asked:
            self.learn(calls)
            self._asked = True
        return model_families(self.kind, self.models(hello, calls))

    def learn(self, calls: Calls) -> None:
        """What does not change while the server runs: version, slots."""

    def models(self, hello: Mapping[str, object], _calls: Calls) -> list[Model]:
        """`max_model_len` (vLLM, SGLang) is the context in use."""
        return [
            Model(name=text(row, "id"), loaded=True, context=number(row, "max_model_len"))
            for row in rows(hello, "data", MOST_LISTED)
        ]


def _listed(calls: Calls) -> Mapping[str, object]:
    """Empty where it wants a key. Raises: LlmError."""
    answer = calls.get("/v1/models")
    if answer.status in WANTS_A_KEY:
        return {}
    said = answer.mapping()
    if not isinstance(said.get("data"), list):
        raise LlmBadAnswer("/v1/models without a list of models")
    return said


class EngineBackend(OpenAiBackend):
    """vLLM or SGLang. Both count under the first of a model's names, and list them all."""

    names: Names

    def __init__(self, kind: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(kind)
        self._work = EngineWork(monotonic)

    def models(self, hello: Mapping[str, object], calls: Calls) -> list[Model]:
        listed = super().models(hello, calls)
        told = self._work.read(lambda: ask_page(calls, "/metrics", self.names))
        if not hello:
            listed = [Model(name=name, loaded=True) for name in told]
        return [
            replace(one, running=work.running, waiting=work.waiting, kv_cache=work.kv_cache)
            if (work := told.get(one.name))
            else one
            for one in listed
        ]


class VllmBackend(EngineBackend):
    """Its slots are `max_num_seqs`, which only development mode tells on the wire."""

    names = VLLM

    def learn(self, calls: Calls) -> None:
        self.version = text(calls.told("/version"), "version")
        answer = calls.get("/server_info")
        found = re.search(rb'max_num_seqs"?\s*[:=]\s*(\d{1,6})', answer.body)
        self.slots = int(found[1]) if answer.status == 200 and found else None


class SglangBackend(EngineBackend):
    names = SGLANG

    def learn(self, calls: Calls) -> None:
        said = calls.told("/get_server_info")
        self.version = text(said, "version")
        self.slots = whole(said, "max_running_requests")


class LmStudioBackend(OpenAiBackend):
    """It lists what is on disk and loads on demand; its own API tells them apart."""

    metrics_path = None

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self._transitions = Transitions()

    def models(self, hello: Mapping[str, object], calls: Calls) -> list[Model]:
        own = rows(calls.told("/api/v0/models"), "data", MOST_LISTED)
        if not own:
            return super().models(hello, calls)
        models = [
            Model(
                name=text(row, "id"),
                loaded=text(row, "state") == "loaded",
                family=text(row, "arch"),
                quantization=text(row, "quantization"),
                context=number(row, "loaded_context_length"),
                context_max=number(row, "max_context_length"),
            )
            for row in own
        ]
        return self._transitions.counted(choose_models(models))
