"""What the conventions ask of a query, on its syntax tree."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import promql_parser

from grafana.build import limits
from tests.dashboards import boards
from tests.dashboards.boards import Query

COUNTER = re.compile(r".+_(total|count|sum|bucket)$")
RATED = {"rate", "increase", "irate"}
STEP = "1m3s"
"""$__rate_interval and $__range in the tree: nobody writes these by hand."""
ALL = "1h7m"
MARKED: Mapping[str, str] = {**boards.VALUES, "__rate_interval": STEP, "__range": ALL}
PLAIN = {0, 1, 2, 3}
"""Yes and no, over the budget, tiers."""

Rule = Callable[[Any], Iterator[str]]


def mistakes(query: Query, rule: Rule) -> Iterator[str]:
    text = query.filled(MARKED)
    try:
        tree = promql_parser.parse(text)
    except ValueError as error:
        yield f"{query.where}: {error} in {text}"
        return
    for found in rule(tree):
        yield f"{query.where}: {found}"


def parsed(_tree: Any) -> Iterator[str]:
    yield from ()


def of_a_cluster(tree: Any) -> Iterator[str]:
    for node in limits.nodes(tree):
        selector = type(node).__name__ == "VectorSelector"
        if selector and "cluster" not in {each.name for each in node.matchers.matchers}:
            yield f"{node.name} is of no cluster"


def windows(tree: Any) -> Iterator[str]:
    """`rate` over $__rate_interval alone; `increase` also over the time shown."""
    for node, function in under(tree, ""):
        if type(node).__name__ == "MatrixSelector":
            window = promql_parser.display_duration(node.range)
            allowed = {"rate": {STEP}, "irate": {STEP}, "increase": {STEP, ALL}}
            if window not in allowed.get(function, {window}):
                yield f"{function} over {window}: $__rate_interval or $__range"


def levels(tree: Any) -> Iterator[str]:
    for node, function in under(tree, ""):
        counter = type(node).__name__ == "VectorSelector" and COUNTER.match(node.name or "")
        if counter and function not in RATED:
            yield f"{node.name} is a counter under {function or 'nothing'}"


def under(node: Any, function: str) -> Iterator[tuple[Any, str]]:
    """Each part of the tree with the function that it is the argument of."""
    yield node, function
    match type(node).__name__:
        case "Call":
            for each in node.args:
                yield from under(each, node.func.name)
        case "MatrixSelector":
            yield from under(node.vector_selector, function)
        case "SubqueryExpr" | "ParenExpr":
            yield from under(node.expr, function)
        case "UnaryExpr" | "AggregateExpr":
            yield from under(node.expr, "")
        case "BinaryExpr":
            yield from under(node.lhs, "")
            yield from under(node.rhs, "")


@cache
def numbers_of_the_rules() -> frozenset[float]:
    """Every number in a rule, two that are multiplied, the objectives, and bounds of buckets."""
    trees = [promql_parser.parse(rule["expr"]) for rule in limits.rules()]
    numbers: set[float] = set(PLAIN)
    for tree in trees:
        for node in limits.nodes(tree):
            if type(node).__name__ == "NumberLiteral":
                numbers |= {node.val, 1 - node.val}
            elif type(node).__name__ == "VectorSelector":
                numbers |= set(limits.buckets(node))
    return frozenset(numbers)
