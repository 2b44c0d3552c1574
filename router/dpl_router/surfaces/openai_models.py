"""OpenAI's list of models."""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from dpl_router.dispatch.refusals import unknown
from dpl_router.scheduling.types import ModelFacts
from dpl_router.security.guards import user
from dpl_router.telemetry.view import FleetView

Everywhere = Mapping[str, Sequence[tuple[str, ModelFacts]]]
"""Our name -> who has it."""


class ModelsController(Controller):
    """Every name some node serves, as OpenAI lists models."""

    path = "/v1/models"
    guards = [user]  # noqa: RUF012 - the framework's own way to say it

    @get()
    async def list_models(self, view: NamedDependency[FleetView]) -> dict[str, Any]:
        """All models of all nodes, loaded or not."""
        everywhere = view.models(time.monotonic())
        models = [_model(name, name, everywhere, view) for name in view.model_names()]
        return {"object": "list", "data": models}

    @get("/{model:path}")
    async def one_model(
        self, model: FromPath[str], view: NamedDependency[FleetView]
    ) -> dict[str, Any]:
        """In the client's spelling. Raises: ModelUnknown, naming what looks like it."""
        name = model.removeprefix("/")
        ours = view.names.resolve(name)
        if not view.names.knows(ours):
            raise unknown(name, view.names.near(name))
        return _model(name, ours, view.models(time.monotonic()), view)


def _model(name: str, ours: str, everywhere: Everywhere, view: FleetView) -> dict[str, Any]:
    created = _created(ours, everywhere, view)
    return {"id": name, "object": "model", "created": created, "owned_by": "dpl"}


def _created(ours: str, everywhere: Everywhere, view: FleetView) -> int:
    """Seconds since 1970: when the model came to a node, or was first seen there; 0 = unknown."""
    for node, _ in everywhere.get(ours, ()):
        if (seconds := seconds_of(view.listed(node, ours).details.get("modified_at"))) is not None:
            return int(seconds)
    return 0


def seconds_of(moment: object) -> float | None:
    """RFC 3339, as Ollama writes it with up to nine decimals, since 1970."""
    if not isinstance(moment, str):
        return None
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", moment)).timestamp()
    except (ValueError, OverflowError):
        return None
