"""The words of the scheduler. Times are the router's monotonic seconds, sizes bytes, speeds
tokens per second; None = not known.

What is made once for every request is not `frozen`, which costs more than the rest of it; it is
only read all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


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
    IDENTITY = "identity"  # the name means other weights there
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


@dataclass(slots=True)
class Demand:
    """One request, or one batch item."""

    id: str
    model: str
    """The nodes' own name; empty = any loaded model, and the decision names it."""
    prompt_tokens: int
    arrived: float
    max_tokens: int | None = None
    deadline: float | None = None
    key: str = ""
    select: Mapping[str, str] | None = None
    """Labels that the node must have; None: any node will do."""
    excluded: frozenset[str] = frozenset()
    attempts: int = 0
    """Which try this is: 0 = the first, 2 = the second retry. `may_retry` and `on_dispatch` get
    the demand as it is sent."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model on one node."""

    loaded: bool | None = None
    seen_at: float | None = None
    """When `loaded` was seen; None = with the node's sample."""
    running: int | None = None
    waiting: int | None = None
    context: int | None = None
    memory: int | None = None
    identity: str | None = None
    differs: bool = False
    """Under this name others have other weights, and the name stands for theirs."""
    prefill: float | None = None
    decode: float | None = None
    eligible: bool = True
    penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is known of one node from outside this router's own book."""

    node: str
    labels: Mapping[str, str] = field(default_factory=dict)
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
    """Somebody holds the whole node."""
    cordoned: bool = False
    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    inventory_known: bool = True
    """False = nobody has said yet what the node serves: it may serve a model that no node lists."""


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
    """Weighted seconds by the names of `price.TERMS`; they add up to `cost`."""
    cost: float | None = None
    short: int = 0
    """How many places it lacks for this demand; 0 = it could start now."""
    model: str | None = None


@dataclass(slots=True)
class Decision:
    """dispatch(node) | hold(node) | reject(why)."""

    action: Action
    node: str | None = None
    reason: Reason | None = None
    rejection: Rejection | None = None
    rows: tuple[Row, ...] = ()
    """At most 32. Filled with a rejection, and by `explain`; else empty, which is cheap."""
    retry_after: float | None = None
    """Seconds, with a rejection: when a new try makes sense."""
    model: str | None = None
    """With dispatch and hold: the node's name of the model; answers a demand for any model. Pass
    it on in the demand of `on_dispatch`."""


@dataclass(slots=True)
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


class Candidate(NamedTuple):
    """One model on one node as `decide` sees it: made when the node changes, then only read.

    What time alone changes is kept as a time (`-inf` = never), so that a candidate stays true.
    """

    node: str
    model: str
    labels: Mapping[str, str]
    barred: Rejection | None
    """Cordoned, somebody else's, other weights, no memory: what panic does not forgive."""
    exclusive_until: float
    alone_until: float
    """The node said 429 and when to come back."""
    down: bool
    open_until: float
    """The breaker that requests opened."""
    trying: bool
    """Half open, and its one request has no token yet."""
    known: bool
    """The facts say eligible; else ranked after those that they say it of."""
    slots: int
    others: float
    others_mean: float
    others_at: float
    """What others have there: `others` at `others_at`, fading to `others_mean`."""
    crowding: float
    """b streams decode at `decode / (1 + crowding * (b - 1))` each."""
    load: float
    """Seconds to load the model; 0 = it is there."""
    load_from: float
    """When that load can begin, or (`load` 0) when the load under way ends."""
    evicts: bool
    # From here on what most requests change: see `Node.candidate`.
    in_flight: int
    """Ours, all models."""
    pending: int
    """Prompt tokens of ours that wait for their first token."""
    rest: int
    """Tokens that our requests there are still expected to make."""
    prefill: float
    decode: float
    """Of one stream alone."""


class View(NamedTuple):
    """One model over the fleet."""

    candidates: tuple[Candidate, ...]
    """In the order of their names' hash, so that any run of them is a fair sample."""
    absent: tuple[str, ...]
    """Nodes that do not list the model."""
    listed: bool
    """False: no node lists it; the candidates are those of unknown inventory."""
    queue: tuple[str, ...]
    """Ids of the held requests, oldest first."""
    limit: int
    """How many may be held."""
    output: float
    """Mean tokens of an answer."""


class Snapshot(NamedTuple):
    """What `decide` needs: immutable, picklable, and all that a replay needs beside the demand."""

    views: Mapping[str, View]
    """Of the demand's model alone, or of all where no demand was named."""
    strangers: View
    """For a model that no node lists: the nodes whose inventory is not known."""
    claims: tuple[tuple[str, str], ...]
    """(demand, node) of all held requests, oldest first."""
    seed: int
