"""Bring your own: nodes without an exporter of ours, known by what is there already.

A real Prometheus on our configuration and rules, a real router, and engines that are fake but for
their pages of metrics. Those are recordings; SGLang's, dcgm-exporter's and nvidia_gpu_exporter's
were written here with the names and labels of real ones. node_exporter is there twice: recorded,
with CPU seconds that go on, and the real program.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from dpl_router.stack import render
from tests.fakes.openai import FakeOpenAi
from tests.fakes.pages import served
from tests.fakes.programs import ROOT
from tests.system.alerting import answers, free_address, running, write
from tests.system.running import eventually

pytestmark = pytest.mark.system

RECORDINGS = ROOT / "tests/recordings"
SHARED, ALONE = "tiny-random", "tiny"
"""Models: of the vLLM and the SGLang; of the llama.cpp."""
SECONDS = 30.0
BUSY = 0.25
"""Of each CPU, where the recorded node_exporter goes on."""
PAGES = {
    "vllm": (RECORDINGS / "vllm/metrics-gauges-busy.txt").read_text("utf-8"),
    "llamacpp": (RECORDINGS / "llama.cpp/metrics-busy.txt").read_text("utf-8"),
    "node": (RECORDINGS / "node_exporter/debian-1.5.0-vm.txt").read_text("utf-8"),
    "sglang": f"""\
# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{{engine_type="unified",model_name="{SHARED}",pp_rank="0",tp_rank="0"}} 0.0
# HELP sglang:num_queue_reqs The number of requests in the waiting queue.
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{{engine_type="unified",model_name="{SHARED}",pp_rank="0",tp_rank="0"}} 0.0
# HELP sglang:token_usage The token usage.
# TYPE sglang:token_usage gauge
sglang:token_usage{{engine_type="unified",model_name="{SHARED}",pp_rank="0",tp_rank="0"}} 0.25
""",
    "dcgm": """\
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1",device="nvidia0",modelName="NVIDIA L4",Hostname="h"} 60
# HELP DCGM_FI_DEV_FB_FREE Framebuffer memory free (in MiB).
# TYPE DCGM_FI_DEV_FB_FREE gauge
DCGM_FI_DEV_FB_FREE{gpu="0",UUID="GPU-1",device="nvidia0",modelName="NVIDIA L4",Hostname="h"} 6000
# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-1",device="nvidia0",modelName="NVIDIA L4",Hostname="h"} 18000
""",
    "gpu": """\
# HELP nvidia_smi_memory_total_bytes Total installed GPU memory.
# TYPE nvidia_smi_memory_total_bytes gauge
nvidia_smi_memory_total_bytes{uuid="00000000-0000-0000-0000-000000000000"} 8.589934592e+09
# HELP nvidia_smi_memory_used_bytes Total memory allocated by active contexts.
# TYPE nvidia_smi_memory_used_bytes gauge
nvidia_smi_memory_used_bytes{uuid="00000000-0000-0000-0000-000000000000"} 2.24395264e+08
# HELP nvidia_smi_utilization_gpu_ratio Share of time in which a kernel ran.
# TYPE nvidia_smi_utilization_gpu_ratio gauge
nvidia_smi_utilization_gpu_ratio{uuid="00000000-0000-0000-0000-000000000000"} 0.4
""",
}


def went_on(page: str, seconds: float) -> str:
    """Each CPU has worked on since."""
    shares = {"idle": 1 - BUSY, "user": BUSY}

    def later(line: re.Match[str]) -> str:
        more = shares.get(line["mode"], 0.0) * seconds
        return f"{line['series']} {float(line['value']) + more}"

    pattern = r'^(?P<series>node_cpu_seconds_total\{.*mode="(?P<mode>\w+)"\}) (?P<value>\S+)$'
    return re.sub(pattern, later, page, flags=re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stage:
    router: str
    prometheus: str
    scores: Mapping[str, float]
    """Node -> its score while engines' pages were all that there was."""

    def series(self, promql: str) -> list[dict[str, Any]]:
        """Prometheus's own answer."""
        url = f"{self.prometheus}/api/v1/query"
        answer = httpx.get(url, params={"query": promql}, timeout=10).json()
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def vector(self, promql: str) -> dict[str, float]:
        """Node -> value."""
        return {one["metric"]["node"]: float(one["value"][1]) for one in self.series(promql)}

    def status(self) -> dict[str, Any]:
        nodes = httpx.get(f"{self.router}/api/status/all", timeout=10).json()
        return {node["name"]: node for node in nodes}

    def served_by(self, model: str) -> str:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        answer = httpx.post(f"{self.router}/v1/chat/completions", json=body, timeout=20)
        assert answer.status_code == 200, answer.text
        return str(answer.headers["x-dpl-node"])


def list_nodes(file: Path, nodes: Mapping[str, Mapping[str, Any]]) -> None:
    listed = [{"name": name, "exporter": "none", **fields} for name, fields in nodes.items()]
    write(file, {"version": 1, "nodes": listed})


@contextmanager
def router(folder: Path, address: str, prometheus: str) -> Iterator[str]:
    where = ["--listen", address, "--nodes", str(folder / "nodes.yaml")]
    more = ["--data-dir", str(folder / "router"), "--prometheus-url", f"http://{prometheus}"]
    process = subprocess.Popen([sys.executable, "-m", "dpl_router", "serve", *where, *more])
    try:
        eventually(lambda: answers(f"http://{address}/-/ready"), SECONDS)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def configured(folder: Path, addresses: render.Addresses) -> Path:
    """prometheus.yml as `dpl up` renders it, and the load rules; both look each second."""
    document = render.render_prometheus(ROOT, addresses, None)
    rules = (ROOT / "prometheus/rules/dpl-load.rules.yml").read_text("utf-8")
    (folder / "load.yml").write_text(re.sub(r"interval: \d+s", "interval: 1s", rules))
    document["rule_files"] = [str(folder / "load.yml")]
    document["global"]["scrape_interval"] = "1s"
    document.pop("alerting")
    for job in document["scrape_configs"]:
        job.pop("scrape_interval", None)
        for discovery in job.get("http_sd_configs", ()):
            discovery["refresh_interval"] = "1s"
    return write(folder / "prometheus.yml", document)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """After the reload that names further exporters of the same nodes."""
    folder = tmp_path_factory.mktemp("own")
    addresses = render.Addresses(free_address(), free_address(), free_address())
    facts = free_address()
    with ExitStack() as stack:
        began = time.monotonic()
        shelf = stack.enter_context(
            served(lambda name: went_on(PAGES[name], time.monotonic() - began))
        )
        engines = {
            "vllm": stack.enter_context(FakeOpenAi(model=SHARED)),
            "sglang": stack.enter_context(FakeOpenAi(model=SHARED)),
            "llamacpp": stack.enter_context(FakeOpenAi(model=ALONE)),
        }
        nodes: dict[str, dict[str, Any]] = {
            kind: {"url": engine.url, "kind": kind, "metrics": {"engine": f"http://{shelf}/{kind}"}}
            for kind, engine in engines.items()
        }
        nodes["vllm"]["aliases"] = {"only-here": SHARED}
        list_nodes(folder / "nodes.yaml", nodes)
        url = stack.enter_context(router(folder, addresses.router, addresses.prometheus))
        flags = [f"--config.file={configured(folder, addresses)}"]
        flags += [f"--storage.tsdb.path={folder}/tsdb"]
        listens = f"--web.listen-address={addresses.prometheus}"
        ready = f"http://{addresses.prometheus}/-/ready"
        stack.enter_context(running("prometheus", *flags, listens, ready=ready))
        bare = Stage(url, f"http://{addresses.prometheus}", {})
        scores = eventually(lambda: whole(bare, "node_model:dpl_load:score"), SECONDS)
        collectors = ["--collector.disable-defaults", "--collector.cpu", "--collector.meminfo"]
        listens = f"--web.listen-address={facts}"
        ready = f"http://{facts}/metrics"
        stack.enter_context(running("node_exporter", *collectors, listens, ready=ready))
        nodes["vllm"]["metrics"]["dcgm"] = f"http://{shelf}/dcgm"
        nodes["llamacpp"]["metrics"]["node"] = f"http://{shelf}/node"
        nodes["sglang"]["metrics"] |= {"gpu": f"http://{shelf}/gpu", "node": facts}
        list_nodes(folder / "nodes.yaml", nodes)
        yield Stage(url, bare.prometheus, scores)


def whole(stage: Stage, promql: str) -> dict[str, float]:
    """Nothing until all three nodes are in it."""
    found = stage.vector(promql)
    return found if len(found) == 3 else {}


def settled(look: Callable[[], object], wanted: object) -> None:
    """It becomes so; else it is shown what it was last. A busy machine may miss a scrape."""
    last: list[object] = []

    def looked() -> bool:
        last.append(look())
        return last[-1] == wanted

    try:
        eventually(looked, SECONDS)
    except AssertionError:
        assert last[-1] == wanted


def near(value: float) -> Any:
    return pytest.approx(value, abs=0.002)


def test_an_engines_page_alone_makes_a_node_with_a_score(stage: Stage) -> None:
    """Of the second tier, since nobody tells of an accelerator."""
    settled(lambda: stage.vector("node:dpl_eligible:bool"), {"vllm": 1, "sglang": 1, "llamacpp": 1})
    assert stage.scores == {
        "vllm": near(2 + 0.4 + 0.2 * 0.0015),  # four running, three waiting: full
        "sglang": near(2 + 0.2 * 0.25),
        "llamacpp": near(2 + 0.4 / 4),
    }


def test_the_router_goes_by_what_the_engines_tell(stage: Stage) -> None:
    """Two have the model, and others keep one of them busy."""

    def running() -> object:
        return {name: (node["running"], fresh(node)) for name, node in stage.status().items()}

    settled(running, {"vllm": (4, True), "sglang": (0, True), "llamacpp": (1, True)})

    assert [stage.served_by(SHARED) for _ in range(4)] == ["sglang"] * 4
    assert [stage.served_by(name) for name in (ALONE, "only-here")] == ["llamacpp", "vllm"]


def fresh(node: Mapping[str, Any]) -> bool:
    return node["age"] is not None and node["age"] < 15


def test_exporters_that_are_there_already_move_the_terms_of_the_score(stage: Stage) -> None:
    """Two nodes get a card and with it the first tier; two a CPU, one of them the memory, too."""
    own = "0.1 * node:dpl_node_cpu_utilization:ratio_rate1m{node='sglang'}"  # of this machine
    scores = (
        "node_model:dpl_load:score - on (node) group_left () "
        f"({own} or node:dpl_llm_up:max{{node!='sglang'}} * 0)"
    )
    memory = 1 - 2.444068864e10 / 2.5276514304e10  # as recorded

    settled(
        lambda: stage.vector(scores),
        {
            "vllm": near(0.4 + 0.3 * 0.6 + 0.2 * 0.0015),
            "sglang": near(0.3 * 0.4 + 0.2 * 0.25),
            "llamacpp": near(2 + 0.4 / 4 + 0.3 * BUSY + 0.2 * memory + 0.1 * BUSY),
        },
    )
    settled(
        lambda: stage.vector("node:dpl_gpu_memory_free:bytes"),
        {"vllm": 6000 * 2**20, "sglang": 8589934592 - 224395264},
    )


def test_the_real_node_exporter_tells_of_this_machine(stage: Stage) -> None:
    """Percentages, by way of Prometheus and the router."""
    host = psutil.virtual_memory()

    def told() -> object:
        node = stage.status()["sglang"]
        return node["memory"]["percent"], node["cpu"]

    used, share = 100 * (1 - host.available / host.total), pytest.approx(50, abs=50)
    settled(told, (pytest.approx(used, abs=15), share))


def test_all_of_it_is_found_by_the_jobs_that_lie_in_the_tree(stage: Stage) -> None:
    """As Prometheus itself lists them, and nothing is down."""

    def found() -> object:
        series = stage.series('up{node!=""} == 1')
        return {(one["metric"]["job"], one["metric"]["node"]) for one in series}

    wanted = {(kind, kind) for kind in ("vllm", "sglang", "llamacpp")}
    exporters = {("dcgm", "vllm"), ("gpu", "sglang"), ("node", "sglang"), ("node", "llamacpp")}
    settled(found, wanted | exporters)
    settled(lambda: stage.series(rule_of("DplTargetDown")), [])


def rule_of(alert: str) -> str:
    document = yaml.safe_load((ROOT / "prometheus/rules/dpl-node.rules.yml").read_text("utf-8"))
    rules = document["groups"][0]["rules"]
    return next(str(rule["expr"]) for rule in rules if rule.get("alert") == alert)
