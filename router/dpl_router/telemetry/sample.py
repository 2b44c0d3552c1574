"""What one reading says of one node, whoever made it: Prometheus or the router itself.

Numbers come from other machines, so they are cut to what can be reckoned with: a float may be
1.7e308, and the sum of two such as whole numbers is none that a float can hold.
"""

from dataclasses import dataclass, field

MOST_REQUESTS = 1_000_000
MOST_BYTES = 2**60


def requests(value: float) -> int:
    """A finite number as requests or slots: 0 to a million."""
    return int(min(max(value, 0), MOST_REQUESTS))


def size(value: float) -> int:
    """A finite number as bytes: 0 to an exbibyte."""
    return int(min(max(value, 0), MOST_BYTES))


@dataclass(slots=True)
class ModelSample:
    """None = not said. `running` and `waiting` are requests in the engine, beyond its slots too."""

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
    eligible: bool | None = None
    exclusive: bool = False
    slots: int | None = None
    memory_free: int | None = None
    accelerator: bool | None = None
    collector_age: float | None = None
    """Seconds since the oldest GPU or LLM collector of its exporter last worked."""
    models: dict[str, ModelSample] = field(default_factory=dict)

    def model(self, name: str) -> ModelSample:
        return self.models.setdefault(name, ModelSample())


@dataclass(slots=True)
class Gpu:
    utilization: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None


@dataclass(slots=True)
class PeopleSample:
    """What pages show, and what changes slowly: sizes and identities. Ratios 0 to 1, bytes."""

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
    weights: dict[str, str] = field(default_factory=dict)
    """Model -> first digits of the digest of its weights."""
    gpus: dict[str, Gpu] = field(default_factory=dict)

    def gpu(self, index: str) -> Gpu:
        return self.gpus.setdefault(index, Gpu())
