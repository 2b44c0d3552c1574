"""What nodes.yaml says, with every default, secret and path resolved. Durations are seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})
NO_FILES: Mapping[Path, str] = MappingProxyType({})
NO_CONTEXTS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """`first_token` is a request's budget; the others belong to one attempt (reliability 4.4)."""

    connect: float = 2.0
    first_token: float = 120.0
    idle: float = 30.0
    total: float = 1800.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Towards a node. `ca` None = the system's; `verify` False = anybody may answer."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Node:
    """One machine that answers."""

    name: str
    url: str
    """Base of the LLM server, without a slash at its end."""
    kind: str = "auto"
    """One of `Kind` in schema.py."""
    exporter: str | None = None
    """Base of the node's exporter; None = the node has none."""
    exporter_key: str | None = field(default=None, repr=False)
    exporter_ca: Path | None = None
    metrics: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Name in `MetricsFields` -> url of the page."""
    slots: int | None = None
    """At most so many requests of ours at once; None = what the exporter says."""
    models: tuple[str, ...] = ()
    """Globs of the models that may be used here; empty = all."""
    aliases: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Our name for a model -> the node's own."""
    remote_models: bool = False
    """What the node asks elsewhere counts as its own."""
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    cordoned: bool = False
    api_key: str | None = field(default=None, repr=False)
    """What the LLM server wants as a bearer key."""
    tls: Tls = Tls()
    timeouts: Timeouts = Timeouts()
    files: Mapping[Path, str] = field(default_factory=lambda: NO_FILES, repr=False)
    """Each file that it names -> a digest of what is in it: with a renewed certificate or key it is
    another node than before."""


@dataclass(frozen=True, slots=True)
class RouterOptions:
    timeouts: Timeouts = Timeouts()
    lease_ttl: float = 15.0
    drain: float = 30.0
    allowed_hosts: tuple[str, ...] = ()
    """Names, beside loopback and the listen address, by which callers may know the router."""
    contexts: Mapping[str, int] = field(default_factory=lambda: NO_CONTEXTS)
    """Model -> tokens with which it is loaded where the choice is ours."""
    auto_pull: bool = False
    """A model that no node has is pulled for the request that names it."""


@dataclass(frozen=True, slots=True)
class Inventory:
    nodes: tuple[Node, ...]
    router: RouterOptions = RouterOptions()
    weights: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Model, untagged -> first 12 digits of the sha256 of the weights that its name stands for."""
    notes: tuple[str, ...] = ()
    """What was understood although it was not written quite so; one line each."""

    @property
    def files(self) -> frozenset[Path]:
        """That some node names."""
        return frozenset(path for node in self.nodes for path in node.files)
