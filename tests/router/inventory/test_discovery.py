"""What Prometheus is told."""

from pathlib import Path

import pytest

from dpl_router.errors import NotFound
from dpl_router.inventory.discovery import targets
from tests.router.inventory.files import loaded


def test_each_exporter_is_a_target_under_its_nodes_name(tmp_path: Path) -> None:
    inventory = loaded(
        tmp_path,
        "version: 1\nnodes:\n- {name: gpu-1, url: 'http://10.0.0.5:11434'}\n"
        "- {name: v6, url: 'http://[fd00::5]:1'}\n"
        "- {name: far, url: 'http://h', exporter: 'https://h/node'}\n"
        "- {name: bare, url: 'http://i', exporter: none}\n",
    )

    assert targets(inventory, "dpl-exporter") == [
        {"targets": ["10.0.0.5:8001"], "labels": {"node": "gpu-1", "instance": "gpu-1:8001"}},
        {"targets": ["[fd00::5]:8001"], "labels": {"node": "v6", "instance": "v6:8001"}},
        {
            "targets": ["h:443"],
            "labels": {
                "node": "far",
                "instance": "far:443",
                "__scheme__": "https",
                "__metrics_path__": "/node/metrics",
            },
        },
    ]


@pytest.mark.parametrize("job", ["node", "dcgm", "gpu", "llamacpp", "vllm"])
def test_jobs_that_come_later_are_empty(tmp_path: Path, job: str) -> None:
    inventory = loaded(tmp_path, "version: 1\nnodes: [{name: a, url: 'http://h'}]\n")

    assert targets(inventory, job) == []


def test_an_unknown_job_is_not_found(tmp_path: Path) -> None:
    inventory = loaded(tmp_path, "version: 1\nnodes: [{name: a, url: 'http://h'}]\n")

    with pytest.raises(NotFound, match="dpl-exporter"):
        targets(inventory, "../etc")
