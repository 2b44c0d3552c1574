"""A collector for one fake LLM server, with clocks that a test can set."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from dpl_exporter.collectors.llm import Backend, LlmCollector
from dpl_exporter.collectors.llm_llamacpp import LlamaCppBackend
from dpl_exporter.collectors.llm_ollama import OllamaBackend
from dpl_exporter.collectors.llm_openai import (
    LmStudioBackend,
    OpenAiBackend,
    SglangBackend,
    VllmBackend,
)
from dpl_exporter.collectors.llm_process import LlmProcesses
from dpl_exporter.errors import Failed
from dpl_exporter.slots import Slots
from tests.exporter.values import Values, by, values_of


@dataclass
class Probe:
    """A collector for `url`, with a clock that can be set."""

    url: str
    kind: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ahead: float = 0.0
    wall: float = 1_795_630_000.0
    budget: float = 10.0

    def __post_init__(self) -> None:
        self.slots = Slots(None)
        make: dict[str, Callable[[], Backend]] = {
            "ollama": lambda: OllamaBackend(self.environment, lambda: self.wall),
            "llamacpp": lambda: LlamaCppBackend(lambda: time.monotonic() + self.ahead),
            "vllm": lambda: VllmBackend("vllm"),
            "sglang": lambda: SglangBackend("sglang"),
            "lmstudio": lambda: LmStudioBackend("lmstudio"),
            "openai": lambda: OpenAiBackend("openai"),
        }
        self.collector = LlmCollector(
            self.url,
            lambda kind: make[kind](),
            kind=self.kind,
            slots=self.slots,
            processes=LlmProcesses(self.url, time.monotonic, find=lambda _port, _names: []),
            monotonic=lambda: time.monotonic() + self.ahead,
            budget=self.budget,
        )

    def values(self) -> Values:
        return values_of(self.collector.collect())

    def failed(self) -> Values:
        """What a failing collector says all the same."""
        with pytest.raises(Failed) as failure:
            self.values()
        return values_of(failure.value.families)


def loaded(values: Values) -> dict[str, float]:
    return by(values, "dpl_llm_model_loaded", "model")
