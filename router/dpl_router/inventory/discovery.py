"""nodes.yaml as Prometheus' service discovery (http_sd and file_sd have one shape).

The `node` label comes from here and nowhere else: the exporter itself never emits it.
"""

from typing import Any
from urllib.parse import urlsplit

from dpl_router.errors import NotFound
from dpl_router.inventory.schema import SPOKEN
from dpl_router.inventory.types import Inventory, Node

JOB = "dpl-exporter"
QUIET_JOBS = frozenset({"node", "dcgm", "gpu", *SPOKEN})
"""Jobs that Prometheus may ask for already; nothing is found for them yet."""


def targets(inventory: Inventory, job: str) -> list[dict[str, Any]]:
    """The whole list, as Prometheus expects it each time. Raises: NotFound."""
    if job in QUIET_JOBS:
        return []
    if job != JOB:
        known = ", ".join([JOB, *sorted(QUIET_JOBS)])
        raise NotFound(f"there is no discovery job {job[:60]!r}; there are {known}")
    return [_target(node, node.exporter) for node in inventory.nodes if node.exporter is not None]


def _target(node: Node, exporter: str) -> dict[str, Any]:
    parts = urlsplit(exporter)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    labels = {"node": node.name, "instance": f"{node.name}:{port}"}
    if parts.scheme == "https":
        labels["__scheme__"] = "https"
    if parts.path:
        labels["__metrics_path__"] = f"{parts.path}/metrics"
    return {"targets": [f"{host}:{port}"], "labels": labels}
