"""The verdict on a thousand nodes; `make bench` runs them."""

import pytest

from bench.scale import Seen, figures, lines, missed
from tests.fakes.fleet_nodes import fleet

BOXES = fleet(20, seed=1)


def seen(**changed: object) -> Seen:
    well: dict[str, object] = {
        "groups": {"1.0": 0.8, "2.0": 1.2},
        "polls": [0.08] * 20,
        "pages": [0.3],
        "series": 3_000,
        "late": [0.004] * 100,
        "late_else": [0.001] * 100,
    }
    return Seen(**(well | changed))  # type: ignore[arg-type] # the fields are named above


def test_what_is_well_meets_every_goal() -> None:
    told = figures(seen(), BOXES)

    assert missed(told) == []
    assert "load rules, longest of an interval of 10 s, ms" in lines(told)[1]
    assert lines(told)[1].endswith("1,200.0     ≤ 5,000  ok")


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"groups": {"1.0": 5.1}}, "load rules, longest of an interval of 10 s"),
        ({"groups": {}}, "load rules, longest of an interval of 10 s"),
        ({"missed": 1}, "load rules, intervals missed"),
        ({"polls": [0.08] * 17 + [0.9] * 3}, "the poll, p95"),
        ({"lost_polls": 1}, "polls that took over a second"),
        ({"series": 40_000}, "series on the router's page"),
        ({"late": [0.004] * 90 + [0.2] * 10}, "the loop wakes late while it renders, p99"),
    ],
)
def test_each_goal_can_be_missed(changed: dict[str, object], name: str) -> None:
    assert missed(figures(seen(**changed), BOXES)) == [name]
