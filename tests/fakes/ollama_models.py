"""The models of a fake Ollama, and which of them are loaded."""

import asyncio
import hashlib
import math
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.ollama_go import GIGA, Refusal, stamp

NAME = re.compile(r"[A-Za-z0-9_][\w.:/-]*")
DIGEST = re.compile(r"[0-9a-f]{64}")
REGISTRY = "registry.ollama.ai/"
FOR_EVER = 2**63 - 1
BUSY = "server busy, please try again.  maximum pending requests exceeded"


@dataclass(frozen=True)
class Model:
    """One name. `capabilities`: completion, tools, thinking, insert, vision, embedding."""

    name: str = "smollm2:135m"
    capabilities: tuple[str, ...] = ("completion",)
    size: int = 98_362_745
    """Bytes, as are `vram` and what /api/ps tells."""
    vram: int = 0
    digest: str = ""
    """"": made from the name."""
    weights: str = ""
    """A digest, or any word: models with the same share one runner. "": its own."""
    context: int = 8192
    """The most it can; `num_ctx`: its own parameter, 0 for none."""
    num_ctx: int = 0
    family: str = "llama"
    parameter_size: str = "134.52M"
    quantization: str = "Q4_1"
    embedding: int = 576
    """Numbers in a vector."""
    parent: str = ""
    system: str = ""
    license: str = ""
    calls: bool = True
    """With the capability tools: it calls the first one, unless a tool has just answered."""
    modified: int = 1_795_630_676_295_894_879
    """Nanoseconds since 1970."""

    @property
    def shown(self) -> str:
        return self.name if ":" in self.name.rpartition("/")[2] else f"{self.name}:latest"

    @property
    def full(self) -> str:
        return self.shown if "/" in self.shown else f"{REGISTRY}library/{self.shown}"

    @property
    def hash(self) -> str:
        return self.digest or digest_of(self.name)

    @property
    def file(self) -> str:
        """The digest of its weights."""
        return digest_of(self.weights) if self.weights else self.hash

    def details(self) -> dict[str, Any]:
        return {
            "parent_model": self.parent,
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.parameter_size,
            "quantization_level": self.quantization,
        }


def digest_of(name: str) -> str:
    """A digest stays as it is."""
    return name if DIGEST.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()


def key(name: str) -> str:
    """The same for every spelling of one name."""
    name = name.lower().removeprefix(REGISTRY).removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def valid(name: str) -> bool:
    return bool(NAME.fullmatch(name))


@dataclass(eq=False)
class Runner:
    """A loaded model."""

    model: Model
    num_ctx: int
    places: asyncio.Semaphore
    keep: float
    """Seconds after the last use; it sticks from call to call."""
    using: int = 0
    until: int | None = None
    """Nanoseconds since 1970; None before its first use has ended."""
    dead: bool = False
    prompt: str = ""
    """The last one, which is in its cache."""

    def expires(self, now: int) -> int:
        return now + span(self.keep) if self.until is None else self.until

    def row(self, now: int) -> dict[str, Any]:
        model = self.model
        return {
            "name": model.shown,
            "model": model.shown,
            "size": model.size + self.num_ctx * 27_424,
            "digest": model.hash,
            "details": model.details(),
            "expires_at": stamp(self.expires(now)),
            "size_vram": model.vram,
            "context_length": self.num_ctx,
        }


def span(keep: float) -> int:
    return FOR_EVER if math.isinf(keep) else int(keep * GIGA)


@dataclass(eq=False)
class Shelf:
    """What is installed and what is loaded. On the server's loop alone; tests may read."""

    models: dict[str, Model]
    clock: Callable[[], int]
    slots: int
    context: int
    """Of a call that names none, unless the model does."""
    load_seconds: float
    max_queue: int
    max_loaded: int
    keep_alive: float
    runners: dict[str, Runner] = field(default_factory=dict)
    loading: dict[str, Runner] = field(default_factory=dict)
    loaded: list[tuple[str, int]] = field(default_factory=list)
    """Every load so far: name, num_ctx."""
    waiting: int = 0
    """Calls that wait for a load or an eviction."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def find(self, name: str, lost: str) -> Model:
        """Raises: Refusal; `lost` is its text for a name that is not here."""
        if name and not valid(name):
            raise Refusal(400, "invalid model name")
        if name.endswith(("-cloud", ":cloud")):
            raise Refusal(403, "ollama cloud is disabled: remote model is unavailable")
        model = self.models.get(key(name)) if name else None
        if model is None:
            raise Refusal(404, lost)
        return model

    def add(self, models: Iterable[Model]) -> None:
        self.models |= {key(model.name): model for model in models}

    def wanted_context(self, model: Model, asked: object) -> int:
        wanted = int(asked) if isinstance(asked, int | float) else 0
        if asked is None:
            wanted = model.num_ctx or self.context
        return max(4, min(wanted, model.context))

    def listed(self, extra: Iterable[Runner] = ()) -> list[dict[str, Any]]:
        """What /api/ps lists: the one that expires last comes first."""
        self.expire()
        now = self.clock()
        rows = sorted([*self.runners.values(), *extra], key=lambda one: -one.expires(now))
        return [one.row(now) for one in rows]

    def expire(self) -> None:
        now = self.clock()
        for file, runner in tuple(self.runners.items()):
            if not runner.using and runner.until is not None and runner.until <= now:
                del self.runners[file]

    def unload(self, model: Model) -> None:
        """It goes when its last use has ended."""
        if runner := self.runners.get(model.file):
            runner.keep = 0.0
            runner.until = 0
            self.expire()
            self.change()

    def change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def borrowed(
        self, model: Model, num_ctx: int, keep: float | None
    ) -> AsyncIterator[tuple[Runner, bool]]:
        """The runner, and whether it had to be loaded. Raises: Refusal where too many wait."""
        runner = self._fitting(model, num_ctx)
        fresh = runner is None
        if runner is None:
            runner = await self._queued(model, num_ctx)
        runner.using += 1
        runner.keep = runner.keep if keep is None else keep
        try:
            yield runner, fresh
        finally:
            runner.using -= 1
            runner.until = self.clock() + span(runner.keep)
            self.expire()
            self.change()

    def _fitting(self, model: Model, num_ctx: int) -> Runner | None:
        self.expire()
        runner = self.runners.get(model.file)
        fits = runner is not None and not runner.dead and runner.num_ctx == num_ctx
        return runner if fits else None

    async def _queued(self, model: Model, num_ctx: int) -> Runner:
        if self.waiting > self.max_queue:
            raise Refusal(503, BUSY)
        self.waiting += 1
        try:
            while (runner := self._fitting(model, num_ctx)) is None:
                if self._room(model):
                    return await self._load(model, num_ctx)
                await self._changed.wait()
            return runner
        finally:
            self.waiting -= 1

    def _room(self, model: Model) -> bool:
        """True once `model` may be loaded; what stands idle goes for it."""
        old = self.runners.get(model.file)
        if model.file in self.loading or (old is not None and old.using and not old.dead):
            return False
        self.runners.pop(model.file, None)
        if len(self.runners) + len(self.loading) < self.max_loaded:
            return True
        now = self.clock()
        idle = [file for file, runner in self.runners.items() if not runner.using]
        if idle:
            del self.runners[min(idle, key=lambda file: self.runners[file].expires(now))]
        return bool(idle)

    async def _load(self, model: Model, num_ctx: int) -> Runner:
        runner = Runner(model, num_ctx, asyncio.Semaphore(self.slots), self.keep_alive)
        self.loading[model.file] = runner
        try:
            await asyncio.sleep(self.load_seconds)
            self.runners[model.file] = runner
            self.loaded.append((model.shown, num_ctx))
        finally:
            del self.loading[model.file]
            self.change()
        return runner
