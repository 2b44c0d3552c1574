"""The words of the scheduler. Times are the router's monotonic seconds, sizes bytes, speeds
tokens per second; None = not known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})


class Priority(StrEnum):
    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BULK = "bulk"


class Action(StrEnum):
    DISPATCH = "dispatch"
    HOLD = "hold"
    REJECT = "reject"


class Reason(StrEnum):
    """Why this node: one word, the same in metric, header, explain and page."""

    CHEAPEST = "cheapest"
    WARM = "warm"
    AFFINITY = "affinity"
    ONLY = "only"
    RETRY = "retry"
    PANIC = "panic"
    PREEMPTED = "preempted"


class Rejection(StrEnum):
    """Why not this node, or no node at all."""

    DOWN = "down"
    BREAKER = "breaker"
    CORDONED = "cordoned"
    EXCLUSIVE = "exclusive"
    NO_MODEL = "no_model"
    NO_MEMORY = "no_memory"
    LABELS = "labels"
    FULL = "full"
    DEADLINE = "deadline"
    UNKNOWN_MODEL = "unknown_model"
    EXCLUDED = "excluded"  # this request already failed there


class OutcomeKind(StrEnum):
    DONE = "done"
    ERROR = "error"
    TIMEOUT = "timeout"
    ABANDON = "abandon"  # the client left
    PREEMPT = "preempt"
    CANCELLED = "cancelled"


class Failure(StrEnum):
    CONNECT = "connect"
    RESET = "reset"
    TIMEOUT = "timeout"
    STATUS_5XX = "status_5xx"
    BUSY = "busy"
    REQUEST = "request"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Demand:
    """One request, or one batch item."""

    id: str
    model: str
    prompt_tokens: int
    arrived: float
    priority: Priority = Priority.INTERACTIVE
    max_tokens: int | None = None
    context: int | None = None
    deadline: float | None = None
    key: str = ""
    session: str | None = None
    prefix: tuple[int, ...] = ()
    needs: frozenset[str] = frozenset()
    select: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    excluded: frozenset[str] = frozenset()
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model on one node."""

    loaded: bool | None = None
    running: int | None = None
    waiting: int | None = None
    context: int | None = None
    memory: int | None = None
    identity: str | None = None
    prefill: float | None = None
    decode: float | None = None
    eligible: bool = True
    penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is known of one node from outside this router's own book."""

    node: str
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    kind: str = "cpu"
    """gpu | mac | cpu: the class for the prior speeds."""
    up: bool | None = None
    """The model server answers, by the freshest source; own checks go to `on_check`."""
    eligible: bool | None = None
    """Three values: a fresh False = do not use; None = unknown, ranked after the known ones."""
    sampled_at: float | None = None
    slots: int | None = None
    """What the exporter says; the cap of nodes.yaml is applied by the core."""
    memory_free: int | None = None
    exclusive: bool = False
    """Somebody else holds the whole node."""
    cordoned: bool = False
    models: Mapping[str, ModelFacts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What nodes.yaml says of one node, as far as the choice needs it."""

    id: str
    slots: int | None = None
    """At most so many requests of ours at once; None = what the node itself says."""


@dataclass(frozen=True, slots=True)
class Config:
    nodes: tuple[NodeConfig, ...]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate: why it is out, or each term of its price in seconds."""

    node: str
    rejection: Rejection | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    cost: float | None = None
    short: int = 0
    """How many places it lacks for this demand; 0 = it could start now."""


@dataclass(frozen=True, slots=True)
class Decision:
    """dispatch(node) | hold(node) | reject(why)."""

    action: Action
    node: str | None = None
    reason: Reason | None = None
    rejection: Rejection | None = None
    preempt: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    """At most 32."""
    retry_after: float | None = None
    """Seconds, with a rejection: when a new try makes sense."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; the rest is what the engine measured."""

    kind: OutcomeKind
    tokens: int = 0
    failure: Failure | None = None
    retry_after: float | None = None
    prompt_evaluated: int | None = None
    prompt_seconds: float | None = None
    eval_tokens: int | None = None
    eval_seconds: float | None = None
    load_seconds: float | None = None
