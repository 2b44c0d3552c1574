"""Nodes that we keep out ourselves: what is remembered of them, and for how long."""

from dpl_router.telemetry.bars import LIFTED_SECONDS, Bars
from dpl_router.telemetry.sample import NodeSample

A = frozenset({"a"})
NOBODY: frozenset[str] = frozenset()
OUT = NodeSample(eligible=False)


def test_what_was_recorded_just_after_we_let_go_may_be_our_own_doing() -> None:
    bars = Bars()
    bars.change(A, NOBODY, 0.0)
    bars.change(NOBODY, NOBODY, 5.0)

    assert bars.eligible("a", OUT, 5.0 + LIFTED_SECONDS - 1) is None
    assert bars.eligible("a", OUT, 5.0 + LIFTED_SECONDS) is False


def test_a_node_that_has_gone_leaves_nothing_to_one_of_its_name() -> None:
    bars = Bars()
    bars.change(A, A, 0.0)
    bars.forget(A)
    bars.change(NOBODY, NOBODY, 1.0)

    assert bars.eligible("a", OUT, 2.0) is False
    assert bars.exclusive("a", NodeSample(exclusive=True, sampled_at=0.5))
