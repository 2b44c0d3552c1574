"""The table of dialects: what a node of each `kind` is spoken to in.

A new dialect is a new file here and a line below; CONTRIBUTING.md says what its kind needs.
"""

from collections.abc import Callable, Mapping

from dpl_router.upstreams.auto import AutoDialect
from dpl_router.upstreams.base import Dialect
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect

DIALECTS: Mapping[str, Callable[[], Dialect]] = {
    "auto": AutoDialect,
    "ollama": OllamaDialect,
    "openai": OpenAiDialect,
    "llamacpp": LlamaCppDialect,
    "vllm": OpenAiDialect,
    "sglang": OpenAiDialect,
    "lmstudio": OpenAiDialect,
}
