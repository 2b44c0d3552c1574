"""What a node says of its models when it is asked: between dialects and the view of the fleet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as a node lists it; None where it does not say."""

    name: str
    loaded: bool | None = None
    context: int | None = None
    """Tokens; what it is loaded with."""
    size: int | None = None
    """Bytes on disk."""
    digest: str | None = None
    """Of the weights, as the node names it."""
    remote: bool = False
    """Its answers are made elsewhere (Ollama's cloud models)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else the node says of it, as Ollama's `details`: family, parameter_size, …"""
