"""What the fleet's endpoints answer. Percentages are 0 to 100, sizes bytes, ages seconds.

None means not known, and is never a zero.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

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
    left_out: bool = False
    """Its weights are not those that the name stands for: nothing is sent to it."""


class CordonStatus(msgspec.Struct, frozen=True):
    """Times are RFC 3339."""

    source: Literal["operator", "alert", "nodes.yaml"]
    by: str
    why: str
    since: str | None = None
    until: str | None = None
    """None: until somebody lifts it."""
    resolved: bool = False
    """Its alert is over; the node's metrics must be there and well before it ends."""


class LockStatus(msgspec.Struct, frozen=True):
    by: str
    why: str
    since: str
    problem: str | None
    """Why the node is not held now, although it shall be; None while it is."""


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
    cordons: list[CordonStatus]
    """Who and why, operators' first."""
    lock: LockStatus | None
    """Ours, that an operator asked for."""
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
    left_out: bool = False
    """As of a served model."""
    capabilities: list[str] | None = None
    """In Ollama's words; None where the node does not say."""
    online: bool = True
    """False: the node does not answer, and all this is what it last said."""


class ModelStatus(msgspec.Struct, frozen=True):
    name: str
    loaded: bool
    nodes: list[ModelOnNode]
    mismatch: bool = False
    """Nodes have different weights or quantisation under this name; some are left out."""


class Started(msgspec.Struct, frozen=True):
    node: str
    model: str
    seconds: float
    """That the node took; next to nothing where the model was there."""


class Unloaded(msgspec.Struct, frozen=True):
    model: str
    nodes: list[str]
    """Those that had it in memory."""
    kept: list[str]
    """Those that have it still: their servers keep what they were started with."""


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
    nodes_file_mistakes: list[str]
    """Why the nodes file is not the one in use, each with its line; empty where it is."""


class Unlocked(msgspec.Struct, frozen=True):
    node: str
    outcome: Literal["released", "nothing was held", "refused", "unreachable", "no exporter"]


class NodeLease(msgspec.Struct, frozen=True):
    """What somebody holds of a node; only `problem` where it does not tell."""

    node: str
    owner: str | None = None
    slots: int | None = None
    exclusive: bool | None = None
    """The whole node."""
    expires_in: float | None = None
    """Unless it is renewed."""
    problem: Literal["refused", "unreachable", "no exporter"] | None = None


class Reasoned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a call that bars a node; all of it may be left out."""

    reason: Annotated[str, Meta(max_length=300)] = ""


class DrainWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=300)] = ""
    timeout: Annotated[float, Meta(ge=0, le=3600)] | None = None
    """Seconds to wait for running answers; without it `drain` of nodes.yaml."""
    force: bool = False
    """What still runs then is cut."""


class LockWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=300)] = ""
    timeout: Annotated[float, Meta(ge=0, le=3600)] | None = None
    """Seconds to wait for running answers and for other holders; without it `drain` of nodes.yaml.
    """


class Cordoned(msgspec.Struct, frozen=True):
    node: str
    cordoned: bool
    kept: bool
    """It outlasts a restart; false where the disk did not take it."""
    cordons: list[CordonStatus]
    """What stands now."""
    in_flight: int
    """Answers of ours that still run there."""


class Uncordoned(Cordoned, frozen=True):
    lifted: int
    """Cordons that this call ended."""
    state: State
    """What the node is now: it may be locked, or not answer."""
    reason: str


class Drained(msgspec.Struct, frozen=True):
    node: str
    drained: bool
    """Nothing of ours runs there any more."""
    running: int
    cut: int
    seconds: float
    kept: bool


class Locked(msgspec.Struct, frozen=True):
    node: str
    lock: LockStatus
