"""What a llama.cpp says of its model: `meta` in /v1/models, and in /props what its template can.

Seen on llama-server (xllamacpp 2026.10.11549): its `capabilities` name no tools whatever the
model can, and its `created` is the time of the question: neither is read. `n_ctx` is that of one
place.
"""

import re
from collections.abc import Sequence
from math import floor
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from dpl_router.listing import Listed
from dpl_router.loose_json import MALFORMED
from dpl_router.upstreams.ollama_listing import whole

FTYPE = re.compile(r"(?:all |mostly )?([A-Z]+\d[A-Z0-9_]*)(?: - (Small|Medium|Large))?")
"""As "all F32", "Q4_1", "Q4_K - Medium": Ollama writes F32, Q4_1, Q4_K_M."""


class _Meta(Struct):
    n_ctx: Any = None
    n_ctx_train: Any = None
    n_embd: Any = None
    n_params: Any = None
    size: Any = None
    ftype: Any = None


class _Model(Struct):
    id: str
    meta: _Meta | None = None


class _Models(Struct):
    data: list[_Model] | None = None


class _Template(Struct):
    supports_tools: bool | None = None
    supports_tool_calls: bool | None = None


class _Modalities(Struct):
    vision: bool = False
    audio: bool = False


class _Props(Struct):
    chat_template_caps: _Template | None = None
    modalities: _Modalities | None = None


_models = msgspec.json.Decoder(_Models).decode
_props = msgspec.json.Decoder(_Props).decode


def listed_of(plain: Sequence[Listed], models: bytes, props: bytes | None) -> Sequence[Listed]:
    """`plain`, with what the server says beside the names. `props` tell of the one model only."""
    try:
        told = {model.id: model.meta or _Meta() for model in _models(models).data or ()}
    except MALFORMED:
        return plain
    can = capabilities(props) if props is not None and len(plain) == 1 else None
    return [_listed(one, told.get(one.name) or _Meta(), can) for one in plain]


def _listed(plain: Listed, meta: _Meta, can: Sequence[str] | None) -> Listed:
    parameters = whole(meta.n_params)
    details: dict[str, Any] = {
        "format": "gguf",
        "parameter_size": parameters and human(parameters),
        "quantization_level": quantisation(meta.ftype),
        "context_length": whole(meta.n_ctx_train),
        "embedding_length": whole(meta.n_embd),
        "capabilities": can,
    }
    return Listed(
        plain.name,
        loaded=plain.loaded,
        context=whole(meta.n_ctx),
        size=whole(meta.size),
        details={key: said for key, said in details.items() if said},
    )


def capabilities(props: bytes) -> list[str] | None:
    """In Ollama's words; None where the server does not tell (before 2026 none did)."""
    try:
        said = _props(props)
    except MALFORMED:
        return None
    template = said.chat_template_caps
    if template is None or template.supports_tools is None:
        return None
    can = asdict(said.modalities or _Modalities())
    can["tools"] = template.supports_tools or bool(template.supports_tool_calls)
    return ["completion", *(word for word in ("tools", "vision", "audio") if can[word])]


def quantisation(ftype: Any) -> str:
    """Empty where it is not said, or only guessed."""
    found = FTYPE.match(ftype) if isinstance(ftype, str) and "guessed" not in ftype else None
    return "_".join(filter(None, (found[1], (found[2] or "")[:1]))) if found else ""


def human(parameters: int) -> str:
    """As Ollama writes it: 7B, 7.6B, 134.52M."""
    for unit, letter, digits in ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 0)):
        if parameters >= unit:
            size = parameters / unit
            return f"{size:.0f}{letter}" if size == floor(size) else f"{size:.{digits}f}{letter}"
    return str(parameters)
