"""Pages of other people's programs, by a real Prometheus on our jobs: what is too much, and what is
not theirs to say."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from dpl_router.stack import render
from tests.fakes.llm_status import Said, say, status_server
from tests.fakes.programs import ROOT
from tests.system.alerting import free_address, running, write
from tests.system.running import eventually

pytestmark = pytest.mark.system

SECONDS = 30.0
MIB = 2**20
TRUE = 'vllm:num_requests_running{model_name="m"} 1\n'
LIES = """\
dpl_router_load_snapshot_timestamp_seconds{lie="1"} 1
dpl_router_circuit_state{node="other",lie="1"} 2
dpl_model_identity_mismatch{model="m",lie="1"} 1
node:dpl_llm_up:max{node="other",lie="1"} 0
node_model:dpl_load:score{node="other",model="m",lie="1"} 9
model:dpl_slo_ttft_errors:ratio_rate5m{model="m",lie="1"} 1
prometheus_tsdb_wal_corruptions_total{lie="1"} 5
up{lie="1"} 0
scrape_duration_seconds{lie="1"} 9
ALERTS{alertname="DplRouterDown",alertstate="firing",lie="1"} 1
"""
WIDE = "vllm:cache_config_info{{{}}} 1\n".format(",".join(f'l{i}="{"v" * 400}"' for i in range(40)))
PAGES: Mapping[str, tuple[str, str]] = {
    "liar": ("vllm", TRUE + LIES + 'dpl_lock_exclusive{lie="1"} 1\n'),
    "wide": ("vllm", TRUE + WIDE),
    "large": ("vllm", TRUE + "# " + "x" * (17 * MIB) + "\n"),
    "crowd": ("llamacpp", "".join(f'llamacpp:x{{a="{i}"}} 1\n' for i in range(10_001))),
    "facts": ("node", "node_load1 2\n" + LIES),
    "own": ("dpl-exporter", "dpl_llm_up 1\n" + LIES),
    "bloated": ("dpl-exporter", "dpl_llm_up 1\n# " + "x" * (5 * MIB) + "\n"),
}
"""Node -> its job, and what it says."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """After each page was asked for twice."""
    folder = tmp_path_factory.mktemp("hostile")
    pages = {
        f"/{node}": Said(page.encode(), content_type="text/plain")
        for node, (_, page) in PAGES.items()
    }
    with status_server(pages, otherwise=say([])) as server:
        shelf = server.url.removeprefix("http://")
        for job in {job for job, _ in PAGES.values()}:
            listed = [node for node, (kind, _) in PAGES.items() if kind == job]
            labels = [
                {"node": node, "instance": node, "__metrics_path__": f"/{node}"} for node in listed
            ]
            server.answers[f"/sd/prometheus/{job}"] = say(
                [{"targets": [shelf], "labels": each} for each in labels]
            )
        here = free_address()
        file = configured(folder, render.Addresses(shelf, here, free_address()))
        flags = [f"--config.file={file}", f"--storage.tsdb.path={folder}/tsdb"]
        flags.append(f"--web.listen-address={here}")
        with running("prometheus", *flags, ready=f"http://{here}/-/ready"):
            url = f"http://{here}"
            eventually(
                lambda: len(asked(url, "count_over_time(up[1m]) >= 2")) >= len(PAGES), SECONDS
            )
            yield url


def configured(folder: Path, addresses: render.Addresses) -> Path:
    """prometheus.yml as `dpl up` renders it, without rules; each second."""
    document = render.render_prometheus(ROOT, addresses, None)
    document.pop("rule_files")
    document.pop("alerting")
    document["global"]["scrape_interval"] = "1s"
    document["scrape_configs"] = [
        job for job in document["scrape_configs"] if "http_sd_configs" in job
    ]
    for job in document["scrape_configs"]:
        job.pop("scrape_interval", None)
    return write(folder / "prometheus.yml", document)


def asked(prometheus: str, promql: str) -> dict[str, float]:
    """Node -> value."""
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": promql}, timeout=10).json()
    series: list[Any] = answer["data"]["result"]
    return {one["metric"].get("node", ""): float(one["value"][1]) for one in series}


def test_a_page_that_is_too_much_is_a_target_that_is_down(prometheus: str) -> None:
    assert asked(prometheus, "up") == {
        "liar": 1,
        "wide": 1,
        "large": 0,
        "crowd": 0,
        "facts": 1,
        "own": 1,
        "bloated": 0,
    }


def test_nobody_speaks_in_the_name_of_the_router_or_of_prometheus(prometheus: str) -> None:
    assert asked(prometheus, '{lie="1"}') == {}


def test_what_they_say_of_themselves_is_heard(prometheus: str) -> None:
    assert asked(prometheus, "vllm:num_requests_running") == {"liar": 1, "wide": 1}
    assert asked(prometheus, "node_load1") == {"facts": 2}
    assert asked(prometheus, "dpl_llm_up") == {"own": 1}
