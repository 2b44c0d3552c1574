"""One exposition, two ways: what Prometheus's rules record of it and what mode `direct` reads."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from dpl_router.server import bound
from dpl_router.settings import Address
from dpl_router.telemetry.direct import read_exposition
from dpl_router.telemetry.prometheus import read_facts
from dpl_router.telemetry.queries import FACTS, selector
from dpl_router.telemetry.sample import NodeSample
from tests.fakes.pages import served
from tests.fakes.programs import find_program
from tests.system.running import ROOT, eventually

pytestmark = pytest.mark.system

PAGES = {
    "busy": """\
dpl_llm_up{backend="llamacpp"} 1
dpl_node_slots 4
dpl_lock_exclusive 0
dpl_llm_model_loaded{backend="llamacpp",model="big"} 1
dpl_llm_model_loaded{backend="llamacpp",model="small"} 0
dpl_llm_requests_running{backend="llamacpp",model="big"} 3
dpl_llm_requests_waiting{backend="llamacpp",model="big"} 2
""",
    "held": """\
dpl_llm_up{backend="ollama"} 1
dpl_node_slots 1
dpl_lock_exclusive 1
dpl_llm_model_loaded{backend="ollama",model="a"} 1
""",
    "down": """\
dpl_llm_up{backend="unknown"} 0
dpl_node_slots 2
dpl_lock_exclusive 0
""",
    "says-no-slots": """\
dpl_llm_up{backend="vllm"} 1
dpl_lock_exclusive 0
dpl_llm_model_loaded{backend="vllm",model="a/b:c"} 1
""",
}


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A real one with our rules; a job for each page, since each is another node."""
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "prometheus/rules/*.yml")],
        "scrape_configs": [
            {
                "job_name": name,
                "metrics_path": f"/{name}",
                "static_configs": [{"targets": [target], "labels": {"node": name}}],
            }
            for name in PAGES
        ],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    with bound(Address("127.0.0.1", 0)) as free:
        address = Address(*free.getsockname()[:2])
    process = subprocess.Popen(
        [
            find_program("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--log.level=error",
        ]
    )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def recorded(url: str) -> dict[str, NodeSample]:
    try:
        answer = httpx.get(url + "/api/v1/query", params={"query": selector(FACTS)}, timeout=5)
    except httpx.TransportError:
        return {}
    return read_facts(answer.content, time.monotonic()) if answer.status_code == 200 else {}


def facts(sample: NodeSample) -> dict[str, object]:
    """What the core uses; when it was scraped differs, of course."""
    return {
        "up": sample.up,
        "exclusive": sample.exclusive,
        "slots": sample.slots,
        "loaded": {name: model.loaded for name, model in sample.models.items()},
        "running": {name: model.running for name, model in sample.models.items()},
        "waiting": {name: model.waiting for name, model in sample.models.items()},
    }


def test_the_rules_and_the_direct_reading_say_the_same(tmp_path: Path) -> None:
    with served(PAGES.__getitem__) as target, prometheus(tmp_path, target) as url:

        def complete() -> dict[str, NodeSample]:
            """All nodes, with what the last rule of the group records."""
            samples = recorded(url)
            ready = all(name in samples for name in PAGES)
            return samples if ready and samples["busy"].eligible is not None else {}

        samples = eventually(complete, 60)

    direct = {name: read_exposition(page, now=0.0)[0] for name, page in PAGES.items()}
    assert {name: facts(samples[name]) for name in PAGES} == {
        name: facts(sample) for name, sample in direct.items()
    }
    assert {name: samples[name].eligible for name in PAGES} == {
        name: sample.eligible for name, sample in direct.items()
    }
