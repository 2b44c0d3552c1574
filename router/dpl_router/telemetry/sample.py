"""What one reading says of one node, whoever made it: Prometheus or the router itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class ModelSample:
    """None = not said. `running` and `waiting` are requests in the engine, uncapped."""

    loaded: bool | None = None
    running: int | None = None
    waiting: int | None = None
    decode: float | None = None
    """Tokens per second of a request, last 15 minutes."""


@dataclass(slots=True)
class NodeSample:
    """The facts the choice of a node uses; `sampled_at` is the router's monotonic clock."""

    sampled_at: float | None = None
    up: bool | None = None
    backend: str | None = None
    """The engine's kind, as the exporter's label says; None while unknown."""
    eligible: bool | None = None
    exclusive: bool = False
    slots: int | None = None
    memory_free: int | None = None
    accelerator: bool | None = None
    models: dict[str, ModelSample] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether `running` is the engine's own count; Ollama tells none, and the recorded series
        then holds what routers have sent."""
        return self.backend != "ollama"

    def model(self, name: str) -> ModelSample:
        return self.models.setdefault(name, ModelSample())


@dataclass(slots=True)
class Gpu:
    utilization: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None


@dataclass(slots=True)
class PeopleSample:
    """What pages show and the choice never reads. Ratios 0 to 1, bytes."""

    cpu: float | None = None
    cpu_seconds: tuple[float, float] | None = None
    """(idle, all) since boot, where the exporter was read directly: two of them make `cpu`."""
    memory: float | None = None
    memory_total: int | None = None
    load: float | None = None
    held: bool | None = None
    """Somebody, we included, holds a lease on the node."""
    scores: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    """Model -> bytes on disk."""
    digests: dict[str, str] = field(default_factory=dict)
    gpus: dict[str, Gpu] = field(default_factory=dict)

    def gpu(self, index: str) -> Gpu:
        return self.gpus.setdefault(index, Gpu())


Samples = Mapping[str, NodeSample]
