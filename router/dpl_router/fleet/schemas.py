"""What the fleet's endpoints answer. Percentages are 0 to 100, sizes bytes, ages seconds.

None means not known, and is never a zero.
"""

from typing import Literal

import msgspec

State = Literal["ready", "busy", "cordoned", "locked", "failing", "offline", "unknown"]


class Memory(msgspec.Struct, frozen=True):
    used: int | None
    total: int | None
    percent: float | None


class Gpu(msgspec.Struct, frozen=True):
    gpu: str
    percent: float | None
    memory: Memory


class ServedModel(msgspec.Struct, frozen=True):
    name: str
    loaded: bool | None
    score: float | None
    """The recorded score, for people: lower is better."""


class NodeStatus(msgspec.Struct, frozen=True):
    name: str
    url: str
    kind: str
    online: bool
    state: State
    reason: str
    """The state as a person says it."""
    locked: bool
    exclusive: bool
    cordoned: bool
    slots: int | None
    in_flight: int
    """Requests of this router."""
    running: int | None
    """Requests in the engine, whoever sent them; None where it does not count."""
    load: float | None
    """The recorded load, 0 to 1."""
    cpu: float | None
    memory: Memory
    gpu: list[Gpu]
    models: list[ServedModel]
    age: float | None
    """Since the node was measured."""
    labels: dict[str, str]


class ModelOnNode(msgspec.Struct, frozen=True):
    node: str
    name: str
    """The node's own name of it."""
    loaded: bool | None
    context: int | None
    """Tokens that it is loaded with."""
    size: int | None
    digest: str | None


class ModelStatus(msgspec.Struct, frozen=True):
    name: str
    loaded: bool
    nodes: list[ModelOnNode]


class Started(msgspec.Struct, frozen=True):
    node: str
    model: str
    seconds: float
    """That the node took; next to nothing where the model was there."""


class Unloaded(msgspec.Struct, frozen=True):
    model: str
    nodes: list[str]
    """Those that had it in memory."""


class Overview(msgspec.Struct, frozen=True):
    mode: str
    nodes: int
    online: int
    ready: int
    """Online, and nothing stands against sending to it."""
    slots: int
    in_flight: int
    queued: int
    models: int
    models_loaded: int
    load: float | None
    """Mean recorded load of the nodes that have one, 0 to 1."""


class Unlocked(msgspec.Struct, frozen=True):
    node: str
    outcome: Literal["released", "refused", "unreachable", "no exporter"]
