"""The files under deploy/ that are made from others: what Prometheus and Alertmanager read there,
and the part of requirements.lock that goes into each image.

`python -m tests.compose.rendered` writes them; a test holds them equal to what they are made from.
"""

import re
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dpl_router.stack.render import Addresses, Tokens, render_alertmanager, render_prometheus

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
HEADER = "# GENERATED from {}: make render\n"

ADDRESSES = Addresses(
    router="router:8000", prometheus="127.0.0.1:9090", alertmanager="alertmanager:9093"
)
"""Names of services; Prometheus asks itself on loopback."""
TOKENS = Tokens(operator=Path("/run/secrets/operator-key"), viewer=Path("/run/secrets/viewer-key"))

LOCKS = {
    "build": ("hatchling",),
    "demo": ("xllamacpp",),
    "exporter": ("dpl-exporter",),
    "router": ("dpl-router",),
}
"""File -> what is installed from it."""
IMAGE = {
    "python_full_version": "3.11.2",
    "python_version": "3.11",
    "platform_system": "Linux",
    "sys_platform": "linux",
}
"""Debian 12, whatever this is."""


def rendered() -> dict[Path, str]:
    return {
        DEPLOY / "prometheus.yml": document(
            "prometheus/prometheus.yml", render_prometheus(ROOT, ADDRESSES, TOKENS)
        ),
        DEPLOY / "alertmanager.yml": document(
            "alertmanager/alertmanager.yml", render_alertmanager(ROOT, ADDRESSES, TOKENS, "UTC")
        ),
        **{DEPLOY / f"{name}.lock": lock(*wanted) for name, wanted in LOCKS.items()},
    }


def document(origin: str, made: dict[str, Any]) -> str:
    """Files beside the original are beside the copy in its container."""
    here = str((ROOT / origin).parent) + "/"
    text = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=100)
    return HEADER.format(origin) + text.replace(here, "")


def lock(*wanted: str) -> str:
    named = {canonicalize_name(each) for name in wanted for each in needs(name)}
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.findall(r"^\S.*(?:\n[ \t]+.*)*\n", text, re.MULTILINE)
    return HEADER.format("requirements.lock") + "".join(
        entry for entry in entries if canonicalize_name(re.split("[=[ ]", entry)[0]) in named
    )


def needs(name: str, *extras: str) -> Iterator[str]:
    """`name` and all that it needs, some more than once."""
    yield name
    for line in requires(name) or ():
        need = Requirement(line)
        marker = need.marker
        if marker is None or any(
            marker.evaluate({**IMAGE, "extra": extra}) for extra in ("", *extras)
        ):
            yield from needs(need.name, *need.extras)


if __name__ == "__main__":
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")
