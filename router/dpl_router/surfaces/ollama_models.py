"""Ollama's lists under /api: what there is, what is loaded, and which version we speak as."""

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from litestar import Controller, Response, get, head
from litestar.di import NamedDependency

from dpl_router.listing import Listed
from dpl_router.scheduling.types import ModelFacts
from dpl_router.security.guards import viewer
from dpl_router.telemetry.view import FleetView

SPEAKS_AS = "0.32.15"
"""The release of Ollama whose answers these are (recorded). Clients ask for a least version."""
MEDIA = "application/json; charset=utf-8"
UNSAID = "1970-01-01T00:00:00Z"
"""Where no node tells when a model came."""
FOR_EVER = "2319-01-01T00:00:00Z"
"""As Ollama tells it of a model that is never unloaded."""
DETAILS: Mapping[str, Any] = {
    "parent_model": "",
    "format": "",
    "family": "",
    "families": [],
    "parameter_size": "",
    "quantization_level": "",
}
ALSO_DETAILS = frozenset({*DETAILS, "context_length", "embedding_length"})
"""The other keys of `Listed.details` stand beside Ollama's own `details`."""


class OllamaModelsController(Controller):
    """Presence probes too: clients ask with HEAD before they start."""

    path = "/api"
    guards = [viewer]  # noqa: RUF012 - the framework's own way to say it

    @get("/tags")
    async def installed(self, view: NamedDependency[FleetView]) -> Response[bytes]:
        """Every model of every node, each name once."""
        everywhere = view.models(time.monotonic()).items()
        return _answer(
            {"models": [tag(name, _said(view, name, nodes)) for name, nodes in everywhere]}
        )

    @head("/tags")
    async def has_list(self) -> Response[None]:
        return Response(None, media_type=MEDIA)

    @get("/ps")
    async def loaded(self, view: NamedDependency[FleetView]) -> Response[bytes]:
        """What is loaded somewhere, what stays longest first; `nodes` names where."""
        models = [
            process(name, [(node, view.listed(node, name)) for node in nodes])
            for name, nodes in _loaded(view).items()
        ]
        models.sort(key=lambda model: str(model["expires_at"]), reverse=True)
        return _answer({"models": models})

    @get("/version")
    async def version(self) -> Response[bytes]:
        return _answer({"version": SPEAKS_AS})

    @head("/version")
    async def has_version(self) -> Response[None]:
        return Response(None, media_type=MEDIA)


def _answer(document: object) -> Response[bytes]:
    return Response(msgspec.json.encode(document), media_type=MEDIA)


def _said(view: FleetView, name: str, nodes: Iterable[tuple[str, ModelFacts]]) -> list[Listed]:
    return [view.listed(node, name) for node, _ in nodes]


def _loaded(view: FleetView) -> dict[str, list[str]]:
    """Name -> the nodes where it is loaded."""
    everywhere = view.models(time.monotonic()).items()
    found = {name: [node for node, facts in nodes if facts.loaded] for name, nodes in everywhere}
    return {name: nodes for name, nodes in found.items() if nodes}


def tag(name: str, listed: Sequence[Listed]) -> dict[str, Any]:
    """An entry of /api/tags. What no node says is a value that clients can read."""
    best = _fullest(listed)
    entry = {
        **identity(name, best),
        "modified_at": best.details.get("modified_at", UNSAID),
        "size": best.size or 0,
        "details": details(best),
    }
    if "capabilities" in best.details:
        entry["capabilities"] = best.details["capabilities"]
    return entry


def process(name: str, listed: Sequence[tuple[str, Listed]]) -> dict[str, Any]:
    """An entry of /api/ps."""
    best = _fullest(one for _, one in listed)
    return {
        **identity(name, best),
        "size": best.details.get("size_loaded") or best.size or 0,
        "details": details(best),
        "expires_at": best.details.get("expires_at", FOR_EVER),
        "size_vram": best.details.get("size_vram", 0),
        "context_length": best.context or 0,
        "nodes": [node for node, _ in listed],
    }


def identity(name: str, listed: Listed) -> dict[str, Any]:
    """A digest is never empty: Ollama's own command line cuts twelve letters from it."""
    digest = (listed.digest or "").removeprefix("sha256:")
    return {
        "name": name,
        "model": name,
        "digest": digest or hashlib.sha256(name.encode()).hexdigest(),
    }


def details(listed: Listed) -> dict[str, Any]:
    told = {key: value for key, value in listed.details.items() if key in ALSO_DETAILS}
    return {**DETAILS, **told}


def _fullest(listed: Iterable[Listed]) -> Listed:
    """The node that says most speaks for all: names with other weights are told apart elsewhere."""
    return max(listed, key=lambda one: (one.digest is not None, len(one.details), one.name))
