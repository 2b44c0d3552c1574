"""A node is well when its metrics are there and say so; silence proves nothing."""

from dataclasses import replace

import pytest

from dpl_router.nodes.cordons import Cordon
from dpl_router.remediation.evidence import Seen, health

GPU = Cordon("a", "alert", "DplGpuXidCritical", scope="gpu", gpu="1")
ANY_GPU = Cordon("a", "alert", "DplGpuMissing", scope="gpu")
NODE = Cordon("a", "alert", "DplNodeWedged", scope="node")
WELL = Seen(fresh=True, up=True, collector_age=1.0, gpus=("0", "1"))


@pytest.mark.parametrize("cordon", [GPU, ANY_GPU, NODE])
def test_a_node_that_is_measured_and_fine_is_well(cordon: Cordon) -> None:
    assert health(cordon, WELL, []) == "well"


def test_without_fresh_metrics_nothing_is_known() -> None:
    """The exporter died: all its alerts end, and the GPU may be as broken as before."""
    assert health(GPU, replace(WELL, fresh=False), []) == "unknown"


def test_where_prometheus_cannot_be_asked_nothing_is_known() -> None:
    """Alertmanager calls an alert resolved when Prometheus is silent for five minutes."""
    assert health(GPU, WELL, None) == "unknown"


@pytest.mark.parametrize(
    ("cordon", "seen"),
    [
        (NODE, replace(WELL, up=False)),
        (NODE, replace(WELL, collector_age=31.0)),
        (GPU, replace(WELL, gpus=("0",))),
        (ANY_GPU, replace(WELL, gpus=())),
    ],
    ids=["down", "collector hangs", "that GPU is gone", "no GPU"],
)
def test_what_is_measured_and_wrong_is_unwell(cordon: Cordon, seen: Seen) -> None:
    assert health(cordon, seen, []) == "unwell"
    assert health(cordon, seen, None) == "unwell"


def test_a_node_without_gpus_needs_none_where_the_alert_was_of_the_node() -> None:
    assert health(NODE, replace(WELL, gpus=(), collector_age=None), []) == "well"


def test_an_alert_that_prometheus_still_holds_even_pending_is_believed() -> None:
    """It came back after a pause of the metrics: it fires again in some minutes."""
    here, elsewhere = ("DplGpuMissing", "a"), ("DplGpuMissing", "b")
    other = ("DplGpuHot", "a")

    assert health(ANY_GPU, WELL, [here]) == "unwell"
    assert health(ANY_GPU, WELL, [elsewhere, other]) == "well"
