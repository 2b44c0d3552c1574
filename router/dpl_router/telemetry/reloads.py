"""Why a model had to be loaded for a request: told from what each look at the node said before.

Only where servers tell it (Ollama): loads cost seconds to minutes, and most of them can be helped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from dpl_router.conversation import ChatRequest
from dpl_router.listing import Listed
from dpl_router.metrics import LoadCause

KEPT = 4
"""Changes of each model that are remembered: a request began before at most a few looks."""


@dataclass(frozen=True, slots=True)
class Change:
    at: float
    context: int | None
    """Loaded with so many tokens of context; None where it is not loaded, or not told."""
    loaded: bool
    gone: LoadCause | None = None
    """Not loaded any more: why, as far as a look tells."""


class Reloads:
    """`looked` after each look, `why` for each answer that says it had to load its model."""

    def __init__(self) -> None:
        self._changes: dict[str, dict[str, list[Change]]] = {}

    def looked(self, node: str, models: Sequence[Listed], at: float) -> None:
        """`at`: monotonic. What a node does not tell is not remembered."""
        told = [model for model in models if model.loaded is not None]
        changes = self._changes.get(node, {})
        came = any(model.loaded and not _was_loaded(changes.get(model.name)) for model in told)
        self._changes[node] = {
            model.name: _changed(changes.get(model.name, []), model, at, came) for model in told
        }

    def forget(self, nodes: set[str]) -> None:
        """All but these are gone."""
        for node in self._changes.keys() - nodes:
            del self._changes[node]

    def why(self, node: str, own: str, call: ChatRequest, began: float) -> LoadCause:
        """An answer to `call`, sent at `began`, said that its model was loaded for it."""
        earlier = [one for one in self._changes.get(node, {}).get(own, ()) if one.at <= began]
        if not earlier:
            return "cold"
        last = earlier[-1]
        if not last.loaded:
            return last.gone or "cold"
        named = named_context(call)
        return "context" if None not in (named, last.context) and named != last.context else "lost"


def _was_loaded(changes: Sequence[Change] | None) -> bool:
    return bool(changes) and changes[-1].loaded  # type: ignore[index] # not None where it is true


def _changed(changes: list[Change], model: Listed, at: float, came: bool) -> list[Change]:
    """`came`: another model is new in memory since the last look."""
    loaded, context = bool(model.loaded), model.context if model.loaded else None
    if changes and (changes[-1].loaded, changes[-1].context) == (loaded, context):
        return changes
    gone: LoadCause | None = None
    if _was_loaded(changes):
        gone = "evicted" if came else "expired"
    return [*changes, Change(at, context, loaded, None if loaded else gone)][-KEPT:]


def named_context(call: ChatRequest) -> int | None:
    """What an Ollama client asked for, or the operator's where that is more; None for neither."""
    if not call.api.startswith("ollama."):
        return None
    try:
        options: Any = msgspec.json.decode(call.body).get("options")
    except (msgspec.DecodeError, AttributeError):
        return None
    named = options.get("num_ctx") if isinstance(options, dict) else None
    return max(named, call.context or 0) if isinstance(named, int) else None
