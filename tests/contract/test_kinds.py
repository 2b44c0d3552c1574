"""Every kind of node that nodes.yaml takes has a dialect and a measuring backend."""

from typing import get_args

from dpl_exporter.collectors import BACKENDS
from dpl_router.inventory.schema import Kind
from dpl_router.upstreams.dialects import DIALECTS


def test_every_kind_of_nodes_yaml_has_a_dialect() -> None:
    assert set(DIALECTS) == set(get_args(Kind))


def test_every_kind_is_measured_by_the_exporter() -> None:
    assert set(BACKENDS) == set(get_args(Kind)) - {"auto"}
