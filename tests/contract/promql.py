"""What a PromQL expression asks for: names of series, and the labels they must have."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
from promql_parser import AggModifierType, LabelModifierType
from promql_parser import VectorMatchCardinality as Card

NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Use:
    """One selector. `name` is None where a matcher on `__name__` picks the series."""

    name: str | None
    labels: frozenset[str]
    """Named in its matchers, or needed by what stands around it."""
    pattern: str = ""
    """The regular expression on `__name__`."""


def uses(promql: str, needed: Iterable[str] = ()) -> list[Use]:
    """Every selector in `promql`, whose result must carry the labels `needed`.

    Raises: ValueError where it is no PromQL.
    """
    return list(_walk(promql_parser.parse(promql), frozenset(needed)))


def _walk(node: Any, needed: frozenset[str]) -> Iterator[Use]:
    """The parser ships no types; its node classes share no base, so their names decide."""
    match type(node).__name__:
        case "VectorSelector":
            yield _selector(node, needed)
        case "MatrixSelector":
            yield from _walk(node.vector_selector, needed)
        case "SubqueryExpr" | "ParenExpr" | "UnaryExpr":
            yield from _walk(node.expr, needed)
        case "AggregateExpr":
            yield from _walk(node.expr, _inside(node, needed))
        case "BinaryExpr":
            yield from _both_sides(node, needed)
        case "Call":
            yield from _call(node, needed)
        case "NumberLiteral" | "StringLiteral":
            pass
        case other:
            raise ValueError(f"a kind of expression that this walk does not know: {other}")


def _selector(node: Any, needed: frozenset[str]) -> Use:
    matchers = list(node.matchers.matchers)
    by_name = [matcher.value for matcher in matchers if matcher.name == "__name__"]
    asked = {matcher.name for matcher in matchers} - {"__name__"}
    return Use(node.name, needed | asked, "".join(by_name))


def _inside(node: Any, needed: frozenset[str]) -> frozenset[str]:
    """What the inside of an aggregation must have."""
    if node.modifier is None:
        return _kept(needed, NONE, node)
    if node.modifier.type == AggModifierType.Without:
        return needed
    return _kept(needed, frozenset(node.modifier.labels), node)


def _kept(needed: frozenset[str], kept: frozenset[str], node: object) -> frozenset[str]:
    if needed - kept:
        raise ValueError(f"{sorted(needed - kept)} is asked for, and lost in: {node}")
    return kept


def _both_sides(node: Any, needed: frozenset[str]) -> Iterator[Use]:
    on, copied, card = _matching(node.modifier)
    left, right = needed, NONE if str(node.op) in {"and", "unless"} else needed
    if card == Card.ManyToOne:
        left, right = needed - copied, copied
    elif card == Card.OneToMany:
        left, right = copied, needed - copied
    elif card == Card.OneToOne and on is not None:
        left = _kept(needed, on, node)
    yield from _walk(node.lhs, left | (on or NONE))
    yield from _walk(node.rhs, right | (on or NONE))


def _matching(modifier: Any) -> tuple[frozenset[str] | None, frozenset[str], Any]:
    """Labels of `on`, labels that `group_left` copies, which side is many."""
    if modifier is None:
        return None, NONE, None
    matching = modifier.matching
    on = matching is not None and matching.type == LabelModifierType.Include
    copied = frozenset(modifier.group_labels or ())
    return frozenset(matching.labels) if on else None, copied, modifier.card


def _call(node: Any, needed: frozenset[str]) -> Iterator[Use]:
    if node.func.name == "label_replace":
        series, made, _, source, _ = node.args
        needed = (needed - {made.val}) | {source.val}
        yield from _walk(series, needed)
        return
    if node.func.name in {"absent", "absent_over_time", "vector", "time"}:
        needed = NONE
    for argument in node.args:
        yield from _walk(argument, needed)
