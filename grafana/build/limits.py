"""The numbers of the rules, read from prometheus/rules: their one home.

A panel that shows where an alert begins asks here, so the two cannot differ.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import yaml

RULES = Path(__file__).parents[2] / "prometheus" / "rules"
COMPARED = {">", ">=", "<", "<=", "=="}


class NoSuchLimit(LookupError):
    """The rules have no such alert, or it compares that series with no number."""


def limit(alert: str, series: str) -> float:
    """What `alert` compares an expression over `series` with. Raises: NoSuchLimit."""
    found = list(_limits(alert, series))
    if not found:
        raise NoSuchLimit(f"{alert} compares {series} with no number; look in {RULES.name}/")
    return found[0]


def budget(alert: str) -> float:
    """Share of bad events that an objective allows: its burn alert at a rate of 1."""
    found = [number for expr in _alerts(alert) for number in _numbers(expr)]
    if not found:
        raise NoSuchLimit(f"no rule {alert} compares anything with a number")
    return min(number for number in found if number < 1)


def fastest(alert: str) -> float:
    """How many times too fast the first of an objective's burn alerts sees its budget go."""
    shares = [number for expr in _alerts(alert) for number in _numbers(expr) if number < 1]
    return round(max(shares) / budget(alert), 3)


def bound(record: str) -> float:
    """Seconds: the bucket that a recorded share of slow events reads."""
    for rule in rules():
        if rule.get("record") == record:
            for node in nodes(promql_parser.parse(rule["expr"])):
                if picked := buckets(node):
                    return picked[0]
    raise NoSuchLimit(f"{record} reads no bucket")


def buckets(node: Any) -> list[float]:
    """The bounds that a selector picks: `2(\\.0)?` is 2, as old and new Prometheus write it."""
    if not _is(node, "VectorSelector"):
        return []
    picked = [each.value for each in node.matchers.matchers if each.name == "le"]
    return [float(each.replace("(\\.0)?", "").replace("\\", "")) for each in picked]


def weights(name: str) -> list[float]:
    """The factors below 1 in a rule, recorded or alerting, in their order."""
    for rule in rules():
        if name in (rule.get("record"), rule.get("alert")):
            return list(_factors(promql_parser.parse(rule["expr"])))
    raise NoSuchLimit(f"no rule is called {name}")


@cache
def rules() -> tuple[dict[str, Any], ...]:
    """All of ours, as their files have them."""
    files = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(RULES.glob("*.yml"))]
    return tuple(rule for file in files for group in file["groups"] for rule in group["rules"])


def _alerts(name: str) -> Iterator[Any]:
    for rule in rules():
        if rule.get("alert") == name:
            yield promql_parser.parse(rule["expr"])


def _limits(alert: str, series: str) -> Iterator[float]:
    for expr in _alerts(alert):
        for node in _comparisons(expr):
            if series in _names(node.lhs):
                yield _value(node.rhs)


def _numbers(expr: Any) -> Iterator[float]:
    for node in _comparisons(expr):
        yield _value(node.rhs)


def _comparisons(expr: Any) -> Iterator[Any]:
    """Every comparison of something with a number."""
    for node in nodes(expr):
        if _is(node, "BinaryExpr") and str(node.op) in COMPARED and _is_number(node.rhs):
            yield node


def _factors(expr: Any) -> Iterator[float]:
    for node in nodes(expr):
        product = _is(node, "BinaryExpr") and str(node.op) == "*"
        if product and _is_number(node.lhs) and _value(node.lhs) < 1:
            yield _value(node.lhs)


def _is(node: Any, kind: str) -> bool:
    """The parser ships no types; its classes share no base, so their names decide."""
    return type(node).__name__ == kind


def _is_number(node: Any) -> bool:
    if _is(node, "BinaryExpr"):
        return _is_number(node.lhs) and _is_number(node.rhs)
    return _is(node, "NumberLiteral")


def _value(node: Any) -> float:
    """Of a number, or of two multiplied (a burn rate times a budget)."""
    if _is(node, "BinaryExpr"):
        return _value(node.lhs) * _value(node.rhs)
    return float(node.val)


def nodes(expr: Any) -> Iterator[Any]:
    """`expr` and all in it, from the left to the right."""
    yield expr
    match type(expr).__name__:
        case "BinaryExpr":
            inner = [expr.lhs, expr.rhs]
        case "AggregateExpr" | "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
            inner = [expr.expr]
        case "MatrixSelector":
            inner = [expr.vector_selector]
        case "Call":
            inner = list(expr.args)
        case _:
            inner = []
    for part in inner:
        yield from nodes(part)


def _names(expr: Any) -> set[str]:
    return {node.name for node in nodes(expr) if _is(node, "VectorSelector")}
