"""The reader of PromQL that the promise of the names rests on."""

import pytest

from tests.contract.promql import uses


def asked(promql: str, *needed: str) -> dict[str | None, set[str]]:
    return {use.name: set(use.labels) for use in uses(promql, needed)}


@pytest.mark.parametrize(
    ("promql", "expected"),
    [
        ('x{a="1",b=~"2"}', {"x": {"a", "b"}}),
        ("sum by (n) (rate(x[5m]))", {"x": {"n"}}),
        ("sum without (n) (x)", {"x": set()}),
        ("max_over_time((count by (n) (x))[6h:1m])", {"x": {"n"}}),
        ("x and on (n) y", {"x": {"n"}, "y": {"n"}}),
        ("x * on (n) group_left (k) y", {"x": {"n"}, "y": {"n", "k"}}),
        ("x * on (n) group_right (k) y", {"x": {"n", "k"}, "y": {"n"}}),
        ('sum by (m) (label_replace(x, "m", "$1", "source", "(.+)"))', {"x": {"source"}}),
        ("-(1 - x)", {"x": set()}),
    ],
)
def test_it_finds_names_and_the_labels_they_must_have(
    promql: str, expected: dict[str | None, set[str]]
) -> None:
    assert asked(promql) == expected


@pytest.mark.parametrize(
    ("promql", "expected"),
    [
        ("x or y", {"x": {"n"}, "y": {"n"}}),
        ("x unless y", {"x": {"n"}, "y": set()}),
        ("0.4 * x + y", {"x": {"n"}, "y": {"n"}}),
        ("sum by (n, k) (x)", {"x": {"n", "k"}}),
        ("x * on (k) group_left () y", {"x": {"n", "k"}, "y": {"k"}}),
    ],
)
def test_what_a_result_needs_its_parts_need(
    promql: str, expected: dict[str | None, set[str]]
) -> None:
    assert asked(promql, "n") == expected


@pytest.mark.parametrize("promql", ["sum(x)", "sum by (k) (x)", "x / on (k) y"])
def test_a_label_that_is_lost_on_the_way_is_a_mistake(promql: str) -> None:
    with pytest.raises(ValueError, match="lost"):
        uses(promql, ["n"])


def test_a_pattern_on_the_name_is_told() -> None:
    assert uses('{__name__=~"a|b",n="1"}')[0].pattern == "a|b"


def test_what_is_no_promql_is_refused() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        uses("sum by (")
