"""A node's `metrics`: pages that tell of it already, and who writes them."""

import re
from urllib.parse import urlsplit

from dpl_router.inventory.addresses import BadAddress, Base, base_url
from dpl_router.inventory.schema import AUTO, SILENT, SPOKEN

ENGINE = "engine"
USUAL = {"node": 9100, "dcgm": 9400, "gpu": 9835, ENGINE: 8000}
"""Ports of node_exporter, dcgm-exporter, nvidia_gpu_exporter and vLLM."""
PATH = "/metrics"
WHOLE = re.compile("(?!)")
"""Nothing is cut off: a page may have any path."""


def page(name: str, text: str) -> Base:
    """`host:port` or a url as the url of a page. Raises: BadAddress."""
    example = f"10.0.0.5:{USUAL[name]}"
    bare = "://" not in text
    base = base_url(f"http://{text}" if bare else text, WHOLE, example)
    parts = urlsplit(base.url)
    if bare and parts.port is None:
        raise BadAddress("names no port", f"write it like {example}")
    return base if parts.path else Base(base.url + PATH, base.host)


def engine_of(kind: str) -> None:
    """Raises: BadAddress where a server of this kind cannot be asked."""
    if kind == AUTO:
        telling = [one for one in SPOKEN if one not in SILENT]
        raise BadAddress(
            'needs the "kind" of this server: each has names of its own',
            f"write kind: {', '.join(telling[:-1])} or {telling[-1]}",
        )
    if kind in SILENT:
        raise BadAddress(
            f"a server of kind {kind} has no metrics of its own",
            "leave it out; dpl-exporter beside it tells what it does",
        )
