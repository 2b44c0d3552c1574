"""Recorded expositions, scraped by a real Prometheus with our rules; for `make recordings`.

Each file is a node of its own, found as the router tells of nodes. Every series that a rule records
of it is looked at: a blank reading must not become a load, nor percent a ratio.
"""

import math
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.fleet_prometheus import QUICK, running_prometheus
from tests.fakes.llm_status import Said, say, status_server

FILES: Mapping[str, Mapping[str, str]] = {
    "node_exporter/*.metrics": {},
    "node_exporter/e2e*.txt": {},
    "dcgm-exporter/*.txt": {},
    "nvidia_gpu_exporter/*.metrics": {},
    "amd-device-metrics-exporter/*.txt": {},
    "vllm/**/metrics-*.txt": {"backend": "vllm"},
    "sglang/*metrics.txt": {"backend": "sglang"},
    "llama.cpp/metrics-*.txt": {"backend": "llamacpp", "model": "m"},
}
"""What the router's discovery adds; files that hold no series are left out."""
SERIES = re.compile(
    r"^([a-zA-Z_:][\w:]*)(\{.*\})? +([-+]?[\d.]+(e[-+]?\d+)?|[-+]?Inf|NaN)( +\d+)?$"
)
RANGES = {
    r"^up$": (1.0, 1.0),
    r"utilization|_ratio|:ratio|concurrency": (0.0, 1.001),
    r":bool$|:dpl_llm_up:": (0.0, 1.0),
    r":bytes$": (0.0, 1e15),
    r"": (-1e9, 1e12),
}
"""By a pattern of the recorded series' name, the first that fits."""
LONGEST = 40.0


def check(folder: Path) -> dict[Path, tuple[int, list[str]]]:
    """File -> (recorded series, what is wrong with them)."""
    files = [(file, extra) for pattern, extra in FILES.items() for file in folder.glob(pattern)]
    pages = {file: page for file, _ in files if (page := exposition(file))}
    if not pages:
        return {}
    named = {f"n{number}": file for number, file in enumerate(pages)}
    labels = dict(files)
    answers = {"/sd/dpl-router": say([]), "/sd/vllm": say([]), "/sd/dpl-exporter": say([])}
    with status_server(answers) as server, tempfile.TemporaryDirectory() as data:
        fleet = server.url.removeprefix("http://")
        targets = []
        for node, file in named.items():
            server.answers[f"/{node}"] = Said(pages[file].encode(), content_type="text/plain")
            own = {"node": node, "instance": node, "__metrics_path__": f"/{node}"}
            targets.append({"targets": [fleet], "labels": {**own, **labels[file]}})
        server.answers["/sd/dpl-exporter"] = say(targets)
        with running_prometheus(Path(data), fleet, QUICK) as prometheus:
            found = recorded(prometheus, list(named))
    return {
        file: (len(found[node]), [wrong for one in found[node] if (wrong := absurd(*one))])
        for node, file in named.items()
    }


def exposition(file: Path) -> str:
    """Its series and what is said of them; titles, dots and prose of a page are left out."""
    lines = file.read_text("utf-8", "replace").split("\n")
    kept = [one for one in lines if SERIES.match(one) or one.startswith(("# HELP", "# TYPE"))]
    return "\n".join([*kept, ""]) if any(SERIES.match(one) for one in kept) else ""


Recorded = tuple[str, str, float]
"""Name, labels, value."""


def recorded(prometheus: str, nodes: Sequence[str]) -> dict[str, list[Recorded]]:
    """Of each node, once all have been scraped and the rules have run over that."""
    end = time.monotonic() + LONGEST
    while len(query(prometheus, "count_over_time(up{node!=''}[1m]) > 2")) < len(nodes):
        if time.monotonic() > end:
            raise TimeoutError(f"Prometheus did not scrape {len(nodes)} pages in {LONGEST:g} s")
        time.sleep(0.2)
    found: dict[str, list[Recorded]] = {node: [] for node in nodes}
    for one in query(prometheus, "{__name__=~'.*:dpl_.*',node!=''}"):
        metric = one["metric"]
        name = metric.pop("__name__")
        found[metric.pop("node")].append((name, str(metric), float(one["value"][1])))
    for one in query(prometheus, "up{node!=''} == 0"):
        found[one["metric"]["node"]].append(("up", " (Prometheus refuses the page)", 0.0))
    return found


def query(prometheus: str, promql: str) -> list[Any]:
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": promql}, timeout=10).json()
    rows: list[Any] = answer["data"]["result"]
    return rows


def absurd(name: str, labels: str, value: float) -> str:
    """Empty where it may be true. What a rate makes of a page that stands still is no number."""
    if "rate" in name and math.isnan(value):
        return ""
    least, most = next(range_ for what, range_ in RANGES.items() if re.search(what, name))
    return "" if least <= value <= most else f"{name}{labels} {value}: not from {least} to {most}"
