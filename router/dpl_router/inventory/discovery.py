"""nodes.yaml as Prometheus' service discovery (http_sd and file_sd have one shape).

The `node` label comes from here and nowhere else: no exporter says who it is. A job lists the nodes
that name it, and those whose server is known to have the page: what is listed and does not answer
is DplTargetDown for ever. Of nodes with an exporter the engine is listed only where they name it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from dpl_router.errors import NotFound
from dpl_router.inventory.pages import ENGINE, PATH, USUAL
from dpl_router.inventory.schema import SPOKEN
from dpl_router.inventory.types import Inventory, Node

EXPORTER = "dpl-exporter"
EXPORTERS = tuple(name for name in USUAL if name != ENGINE)
JOBS = (EXPORTER, *EXPORTERS, *SPOKEN)
ALWAYS_TELLS = frozenset({"vllm"})
"""Kinds that have the page however they were started; SGLang and llama.cpp must be told to."""
NAMES_NO_MODEL = frozenset({"llamacpp"})
"""Kinds whose series carry no model; as target label it is what the rules look for."""

Serves = Mapping[str, Sequence[str]]
"""Node -> the names of the models that it lists itself, as far as it was asked."""


def targets(inventory: Inventory, job: str, serves: Serves) -> list[dict[str, Any]]:
    """The whole list, as Prometheus expects it each time. Raises: NotFound."""
    if job not in JOBS:
        known = ", ".join(JOBS)
        raise NotFound(f"there is no discovery job {job[:60]!r}; there are {known}")
    return [_target(node, url, more) for node, url, more in _pages(inventory, job, serves)]


def engine_page(node: Node) -> str | None:
    """Where the node's LLM server tells metrics; None where nobody knows of any."""
    named = node.metrics.get(ENGINE)
    if named is None and node.exporter is None and node.kind in ALWAYS_TELLS:
        return node.url + PATH
    return named


def only_model(node: Node, serves: Serves) -> str | None:
    """The node's own name of the one model that it serves; None where it has several, or none."""
    literal = (name for name in node.models if not set(name) & set("*?["))
    names = serves.get(node.name) or [node.aliases.get(name, name) for name in literal]
    return names[0] if len(names) == 1 else None


def _pages(
    inventory: Inventory, job: str, serves: Serves
) -> Iterator[tuple[Node, str, dict[str, str]]]:
    """(node, url of its page, labels beside those that every target has)."""
    for node in inventory.nodes:
        if job == EXPORTER:
            if node.exporter is not None:
                yield node, node.exporter + PATH, {}
        elif job in EXPORTERS:
            if job in node.metrics:
                yield node, node.metrics[job], {}
        elif node.kind == job and (page := engine_page(node)) is not None:
            model = only_model(node, serves) if job in NAMES_NO_MODEL else None
            yield node, page, {"backend": job} | ({"model": model} if model else {})


def _target(node: Node, page: str, more: Mapping[str, str]) -> dict[str, Any]:
    parts = urlsplit(page)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    labels = {"node": node.name, "instance": f"{node.name}:{port}", **more}
    if parts.scheme == "https":
        labels["__scheme__"] = "https"
    if parts.path != PATH:
        labels["__metrics_path__"] = parts.path
    return {"targets": [f"{host}:{port}"], "labels": labels}
