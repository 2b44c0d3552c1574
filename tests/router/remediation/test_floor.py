"""However many alerts fire, every model keeps half of its nodes, and one that serves."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dpl_router.remediation.floor import Fleet, Member

MODELS = ("big", "small", "tiny")


def against(fleet: Sequence[Member], node: str) -> str | None:
    return Fleet(fleet).against(node)


def member(node: str, *models: str, serving: bool = True, alerted: bool = False) -> Member:
    return Member(node, frozenset(models), serving, alerted)


fleets = st.lists(
    st.tuples(st.frozensets(st.sampled_from(MODELS)), st.booleans()), min_size=1, max_size=9
).map(
    lambda drawn: [
        Member(f"n{number}", models, serving, False)
        for number, (models, serving) in enumerate(drawn)
    ]
)


@given(fleets, st.data())
def test_alerts_leave_each_model_half_of_its_nodes_and_one_that_serves(
    fleet: list[Member], data: st.DataObject
) -> None:
    counted = Fleet(fleet)
    for place in data.draw(st.lists(st.integers(0, len(fleet) - 1), max_size=12)):
        if counted.against(fleet[place].node) is None:
            fleet[place] = replace(fleet[place], alerted=True)
            counted.put(fleet[place])

    for model in MODELS:
        having = [one for one in fleet if model in one.models]
        out = [one for one in having if one.alerted]
        assert 2 * len(out) <= len(having)
        assert not out or any(one.serving and not one.alerted for one in having)


@given(fleets)
def test_a_cordon_that_stands_is_judged_as_a_new_one_is(fleet: list[Member]) -> None:
    node = fleet[0].node
    new, standing = fleet, [replace(fleet[0], alerted=True), *fleet[1:]]

    assert against(new, node) == against(standing, node)


def test_the_last_that_serves_is_kept_though_others_have_the_model() -> None:
    fleet = [member("a", "m"), member("b", "m", serving=False), member("c", "m", serving=False)]

    assert against(fleet, "a") == "no other node serves m now"


def test_one_of_two_may_go_and_the_second_may_not() -> None:
    fleet = [member("a", "m"), member("b", "m")]

    assert against(fleet, "a") is None
    assert against([fleet[0], member("b", "m", alerted=True)], "a") is not None


def test_more_than_half_is_too_many_also_where_one_serves() -> None:
    fleet = [member("a", "m", alerted=True), member("b", "m"), member("c", "m")]

    assert against(fleet, "b") == "alerts would cordon more than half of the nodes of m"


def test_a_node_without_models_is_missed_by_nobody() -> None:
    assert against([member("a")], "a") is None
    assert against([], "stranger") is None
