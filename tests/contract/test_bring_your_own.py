"""What a node's `metrics` may name is known everywhere, and Prometheus asks for it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpl_router.cli.sd import sd
from dpl_router.inventory.discovery import EXPORTER, EXPORTERS, JOBS
from dpl_router.inventory.pages import ENGINE, USUAL
from dpl_router.inventory.schema import SILENT, SPOKEN, MetricsFields

ROOT = Path(__file__).parents[2]
JOB = "prometheus/prometheus.yml"


def asked_for() -> Mapping[str, Any]:
    """Job -> itself, of those that the router tells the targets of."""
    jobs = yaml.safe_load((ROOT / JOB).read_text("utf-8"))["scrape_configs"]
    return {job["job_name"]: job for job in jobs if "http_sd_configs" in job}


def found(pattern: str, text: str) -> frozenset[str]:
    return frozenset({*re.findall(pattern, text), ENGINE})


def comment() -> str:
    """On `metrics` in nodes.yaml, all its lines."""
    text = (ROOT / "nodes.yaml").read_text("utf-8")
    lines = re.search(r"(?m)^#    metrics: .*(?:\n# {10,}.*)*", text)
    assert lines, "nodes.yaml has no comment on `metrics`"
    return lines[0]


def chapter(file: str, head: str) -> str:
    """Of a Markdown file, up to the next head."""
    text = (ROOT / file).read_text("utf-8")
    assert f"\n{head}\n" in text, f"{file} has no {head!r}"
    return text.partition(f"\n{head}\n")[2].partition("\n## ")[0]


NAMES = frozenset(USUAL) | frozenset(MetricsFields.__struct_fields__)
PLACES: Mapping[str, frozenset[str]] = {
    "USUAL (router/dpl_router/inventory/pages.py)": frozenset(USUAL),
    "MetricsFields (router/dpl_router/inventory/schema.py)": frozenset(
        MetricsFields.__struct_fields__
    ),
    "a job of its own in prometheus/prometheus.yml": frozenset({*asked_for(), ENGINE}),
    "the help of `dpl sd` (router/dpl_router/cli/sd.py)": found(r"\w+", sd.help or ""),
    "the row of GET /sd/prometheus/{job} in router/README.md": found(
        r"`(\w+)`", chapter("router/README.md", "## Endpoints")
    ),
    "the table under Bring your own of router/README.md": found(
        r"{(\w+): ", chapter("router/README.md", "## Bring your own")
    ),
    "the comment on `metrics` in nodes.yaml": found(r"(\w+): ", comment()),
}
"""The engine has its jobs by the kinds of servers, and no job of its own."""


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_of_metrics_is_known_everywhere(name: str) -> None:
    lacking = [place for place, names in PLACES.items() if name not in names]

    assert not lacking, f"`metrics: {{{name}: …}}` lacks a line in: {'; '.join(lacking)}"


@pytest.mark.parametrize("job", sorted(set(JOBS) - SILENT))
def test_prometheus_asks_for_every_job_that_can_have_targets(job: str) -> None:
    asked = asked_for()

    assert job in asked, f"{JOB} has no job {job}: copy the one of node"
    assert asked[job]["http_sd_configs"][0]["url"].endswith(f"/sd/prometheus/{job}")


def test_prometheus_asks_for_no_other_job() -> None:
    assert asked_for().keys() <= set(JOBS), f"{JOB} has a job that the router knows no targets of"
    assert {EXPORTER, *EXPORTERS, *SPOKEN} == set(JOBS)
