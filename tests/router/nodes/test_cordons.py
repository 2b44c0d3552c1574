"""Cordons: an operator's lasts, an alert's is a lease that each repeat renews."""

from hypothesis import given
from hypothesis import strategies as st

from dpl_router.nodes.cordons import Cordon, Cordons

NODES = ("a", "b", "c")
MARKS = ("f1", "f2")


def of_alert(node: str = "a", mark: str = "f1", now: float = 0.0, lasts: float = 180.0) -> Cordon:
    return Cordon(
        node, "alert", "DplGpuMissing", "lost", since=now, until=now + lasts, fingerprint=mark
    )


steps = st.lists(
    st.one_of(
        st.tuples(st.just("operator"), st.sampled_from(NODES), st.just("")),
        st.tuples(st.just("alert"), st.sampled_from(NODES), st.sampled_from(MARKS)),
        st.tuples(st.just("resolved"), st.sampled_from(NODES), st.sampled_from(MARKS)),
        st.tuples(st.just("lift"), st.sampled_from(NODES), st.sampled_from(MARKS)),
        st.tuples(st.just("lift_all"), st.sampled_from(NODES), st.just("")),
    ),
    max_size=30,
)


def lived(history: list[tuple[str, str, str]]) -> Cordons:
    cordons = Cordons()
    for now, (step, node, mark) in enumerate(history):
        match step:
            case "operator":
                cordons.by_operator(node, "ann", "", now)
            case "alert":
                cordons.by_alert(of_alert(node, mark, now))
            case "resolved":
                cordons.mark_resolved(node, mark)
            case "lift":
                known = cordons.get(node, mark)
                if known is not None:
                    cordons.lift(known)
            case "lift_all":
                cordons.lift_all(node)
    return cordons


@given(steps)
def test_nothing_but_an_operator_ends_an_operators_cordon(
    history: list[tuple[str, str, str]],
) -> None:
    cordons = lived(history)

    for node in NODES:
        words = [step for step, of, _ in history if of == node and step in ("operator", "lift_all")]
        held = bool(words) and words[-1] == "operator"
        assert (cordons.get(node, "") is not None) is held


@given(steps)
def test_a_node_is_cordoned_as_long_as_one_cordon_stands(
    history: list[tuple[str, str, str]],
) -> None:
    cordons = lived(history)

    assert cordons.nodes() == {cordon.node for cordon in cordons.all()}
    assert all((cordon.until is None) == (cordon.source == "operator") for cordon in cordons.all())


@given(steps)
def test_what_is_kept_and_read_again_is_the_same(history: list[tuple[str, str, str]]) -> None:
    cordons = lived(history)

    assert Cordons(cordons.all()).all() == cordons.all()


@given(steps, st.floats(0, 1000))
def test_after_the_clock_went_back_no_alerts_cordon_lasts_longer_than_from_now(
    history: list[tuple[str, str, str]], end: float
) -> None:
    cordons = lived(history)
    operators = [cordon for cordon in cordons.all() if cordon.source == "operator"]

    cordons.shorten(end)

    assert all(cordon.until is not None and cordon.until <= end for cordon in cordons.by_alerts())
    assert operators == [cordon for cordon in cordons.all() if cordon.source == "operator"]


def test_a_repeat_renews_and_keeps_the_time_of_the_first() -> None:
    cordons = Cordons()
    first = cordons.by_alert(of_alert(now=0.0))
    again = cordons.by_alert(of_alert(now=60.0))

    (cordon,) = cordons.all()
    assert (first, again) == (True, False)
    assert (cordon.since, cordon.until) == (0.0, 240.0)


def test_what_was_renewed_meanwhile_is_not_lifted() -> None:
    """Between a look and its end a repeat may have come."""
    cordons = Cordons([of_alert(now=0.0)])
    (seen,) = cordons.all()
    cordons.by_alert(of_alert(now=60.0))

    assert not cordons.lift(seen)
    assert cordons.lift(cordons.all()[0])
    assert cordons.nodes() == frozenset()


def test_an_alert_that_fires_again_is_no_longer_resolved() -> None:
    cordons = Cordons([of_alert()])
    marked = cordons.mark_resolved("a", "f1"), cordons.mark_resolved("a", "f1")

    cordons.by_alert(of_alert(now=60.0))

    assert marked == (True, False)
    assert [cordon.resolved for cordon in cordons.all()] == [False]


def test_an_operators_cordon_comes_first_whenever_it_was_made() -> None:
    cordons = Cordons([of_alert(now=0.0)])
    cordons.by_operator("a", "ann", "fan", 10.0)

    assert [cordon.by for cordon in cordons.on("a")] == ["ann", "DplGpuMissing"]
    assert cordons.on("b") == ()
