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

    assert targets(inventory, "dpl-exporter", {}) == [
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


OWN = """\
version: 1
nodes:
- {name: plain, url: 'http://10.0.0.1:11434'}
- name: pc
  url: http://10.0.0.2:11434
  metrics: {node: 10.0.0.2:9100, dcgm: 'https://10.0.0.2/dcgm', gpu: 'http://[fd00::2]:9835/'}
- {name: v, url: 'http://10.0.0.3:8000/v1', kind: vllm, exporter: none}
- {name: both, url: 'http://10.0.0.4:8000', kind: vllm}
- name: asked
  url: http://10.0.0.5:8000
  kind: vllm
  metrics: {engine: 'http://10.0.0.5:8001/metrics/vllm'}
- {name: s, url: 'http://10.0.0.6:1', kind: sglang, exporter: none, metrics: {engine: '10.0.0.6:1'}}
- {name: shy, url: 'http://10.0.0.7:1', kind: sglang, exporter: none}
- name: l
  url: http://10.0.0.8:8080
  kind: llamacpp
  exporter: none
  models: [ours, "other-*"]
  aliases: {ours: own.gguf}
  metrics: {engine: 10.0.0.8:8080}
"""


def target(address: str, node: str, **labels: str) -> dict[str, object]:
    port = address.rpartition(":")[2]
    return {
        "targets": [address],
        "labels": {"node": node, "instance": f"{node}:{port}", **labels},
    }


@pytest.mark.parametrize(
    ("job", "found"),
    [
        ("node", [target("10.0.0.2:9100", "pc")]),
        (
            "dcgm",
            [target("10.0.0.2:443", "pc", __scheme__="https", __metrics_path__="/dcgm")],
        ),
        ("gpu", [target("[fd00::2]:9835", "pc")]),
        (
            "vllm",
            [
                target("10.0.0.3:8000", "v", backend="vllm"),
                target("10.0.0.5:8001", "asked", backend="vllm", __metrics_path__="/metrics/vllm"),
            ],
        ),
        ("sglang", [target("10.0.0.6:1", "s", backend="sglang")]),
        ("llamacpp", [target("10.0.0.8:8080", "l", backend="llamacpp", model="own.gguf")]),
        ("ollama", []),
        ("openai", []),
        ("lmstudio", []),
    ],
)
def test_a_job_lists_who_names_it_or_is_known_to_have_the_page(
    tmp_path: Path, job: str, found: list[object]
) -> None:
    """What does not answer is DplTargetDown for ever; what an exporter tells need not be told."""
    assert targets(loaded(tmp_path, OWN), job, {}) == found


@pytest.mark.parametrize(
    ("seen", "labels"), [(["seen.gguf"], {"model": "seen.gguf"}), (["a", "b"], {})]
)
def test_the_model_of_a_llamacpp_is_the_one_that_it_lists(
    tmp_path: Path, seen: list[str], labels: dict[str, str]
) -> None:
    """Its series name none, and of several nobody knows which one is meant."""
    found = targets(loaded(tmp_path, OWN), "llamacpp", {"l": seen})

    assert found == [target("10.0.0.8:8080", "l", backend="llamacpp", **labels)]


def test_an_unknown_job_is_not_found(tmp_path: Path) -> None:
    inventory = loaded(tmp_path, "version: 1\nnodes: [{name: a, url: 'http://h'}]\n")

    with pytest.raises(NotFound, match="dpl-exporter"):
        targets(inventory, "../etc", {})
