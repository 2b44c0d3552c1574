"""The simulated fleet has a law for all that it says, and says what the real programs say."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from dpl_router.metrics import RouterMetrics
from tests.fakes import fleet_router
from tests.fakes.fleet import Fleet
from tests.fakes.fleet_exporter import template
from tests.fakes.fleet_laws import Page, fixed, samples_of
from tests.fakes.fleet_nodes import fleet
from tests.fakes.fleet_values import laws

BOXES = fleet(9, seed=1)
"""Each kind of machine, each trouble."""


def test_everything_that_a_simulated_page_leaves_open_has_a_law() -> None:
    for path in ("/router/metrics", *(f"/{box.name}/metrics" for box in BOXES)):
        answer = Fleet(BOXES, 1.7e9).answer(path, "", "127.0.0.1:1")

        assert answer is not None
        assert b" ~" not in answer[1]


def test_an_open_value_without_a_law_is_an_error_that_says_where_it_goes() -> None:
    """Else it is 0 for ever, and a panel of it looks proved."""
    page = 'dpl_node_load1 ~\ndpl_node_conntrack{kind="a"} ~\n'

    with pytest.raises(LookupError, match=r"no law for dpl_node_conntrack: .*fleet_values\.py"):
        Page(page, laws(BOXES[0], 1.7e9))


def test_a_value_that_stands_in_the_page_needs_no_law() -> None:
    page = Page("a ~\nb 3.0\n", lambda name, _: fixed(1.0) if name == "a" else None)

    assert page.write(0.0) == b"a 1.0\nb 3.0\n"


def test_a_mac_tells_nothing_of_pressure_nor_of_its_collector() -> None:
    [mac, *_] = [box for box in BOXES if box.kind == "mac"]

    said = list(samples_of(template(mac)))
    collectors = {labels.get("collector") for _, labels in said}

    assert [name for name, _ in said if name.startswith("dpl_node_pressure_")] == []
    assert "pressure" not in collectors
    assert "memory" in collectors


def test_the_simulated_router_moves_only_what_the_real_one_has() -> None:
    metrics = RouterMetrics(CollectorRegistry())
    fleet_router.see_everything(metrics, BOXES)
    _, page = metrics.render("text/plain")
    said = list(samples_of(page.decode()))
    names = {re.sub("_(bucket|sum|count)$", "", name) for name, _ in said}
    words = {value for _, labels in said for value in labels.values()}
    moved = re.findall(r'"(dpl_\w+)"', Path(fleet_router.__file__).read_text("utf-8"))
    shares = (fleet_router.OUTCOMES, fleet_router.DIRECTIONS, fleet_router.WASTED)

    assert {re.sub("_(bucket|sum|count)$", "", name) for name in moved} <= names
    assert {word for table in shares for word in table} <= words
    assert fleet_router.WORDS.keys() <= words
