"""Servers that speak OpenAI's protocol: vLLM, SGLang, LM Studio, and any other.

Source: GET /v1/models; what it lists is loaded (1). Their engine metrics stay theirs and are
passed through at /metrics/<backend>. Beyond that, where it can be had: vLLM /version and
/server_info (development mode only), SGLang /get_server_info, LM Studio /api/v0/models, which
alone tells which of its models are loaded.
"""

import re
from collections.abc import Iterable, Mapping

from prometheus_client import Metric

from dpl_exporter.collectors.answers import number, rows, text, whole
from dpl_exporter.collectors.models import Model, model_families
from dpl_exporter.errors import LlmBadAnswer
from dpl_exporter.local_http import Calls


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
        said = calls.get("/v1/models").mapping()
        if not isinstance(said.get("data"), list):
            raise LlmBadAnswer("/v1/models without a list of models")
        return said

    def collect(self, hello: Mapping[str, object], calls: Calls) -> Iterable[Metric]:
        """Raises: LlmError."""
        if not self._asked:
            self.learn(calls)
            self._asked = True
        models = self.models(hello, calls)
        return model_families(self.kind, [one for one in models if one.name])

    def learn(self, calls: Calls) -> None:
        """What does not change while the server runs: version, slots."""

    def models(self, hello: Mapping[str, object], _calls: Calls) -> list[Model]:
        """`max_model_len` (vLLM, SGLang) is the context in use."""
        return [
            Model(name=text(row, "id"), loaded=True, context=number(row, "max_model_len"))
            for row in rows(hello, "data")
        ]


class VllmBackend(OpenAiBackend):
    """Its slots are `max_num_seqs`, which only development mode tells on the wire."""

    def learn(self, calls: Calls) -> None:
        self.version = text(calls.told("/version"), "version")
        answer = calls.get("/server_info")
        found = re.search(rb'max_num_seqs"?\s*[:=]\s*(\d{1,6})', answer.body)
        self.slots = int(found[1]) if answer.status == 200 and found else None


class SglangBackend(OpenAiBackend):
    def learn(self, calls: Calls) -> None:
        said = calls.told("/get_server_info")
        self.version = text(said, "version")
        self.slots = whole(said, "max_running_requests")


class LmStudioBackend(OpenAiBackend):
    """It lists what is on disk and loads on demand; its own API tells them apart."""

    metrics_path = None

    def models(self, hello: Mapping[str, object], calls: Calls) -> list[Model]:
        own = rows(calls.told("/api/v0/models"), "data")
        if not own:
            return super().models(hello, calls)
        return [
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
