"""A PromQL expression, wrong in one place: the mistakes that people make, one at a time."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<range>\[[^\]]*\])
      | (?P<duration>\d+[smhdwy])
      | (?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)
      | (?P<word>[A-Za-z_][\w:]*)
      | (?P<sign>==|!=|>=|<=|=~|!~|[-+*/%^<>=(){},@])""",
    re.VERBOSE,
)
COMPARED = {">": "<", "<": ">", ">=": "<", "<=": ">", "==": "!=", "!=": "=="}
RECKONED = {"+": "-", "-": "+", "*": "/", "/": "*"}
AGGREGATED = {
    "sum": ["max"],
    "avg": ["max"],
    "max": ["min", "sum"],
    "min": ["max"],
    "max_over_time": ["min_over_time"],
    "min_over_time": ["max_over_time"],
}
MATCHED = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
SCALES = (0.8, 1.25)
"""A test that is just silent and one that just fires must lie nearer than this."""
SMALL = 5
"""Integers below it count things: one more and one less."""
SETS = {"and", "unless", "or"}


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Change:
    """`what` names the place by the characters around it."""

    what: str
    promql: str


def tokens(promql: str) -> list[Token]:
    """Without white space and comments. Raises: ValueError at what is no PromQL."""
    found, at = [], 0
    while at < len(promql):
        match = TOKEN.match(promql, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"no PromQL at {promql[at : at + 20]!r}")
        if match.lastgroup != "skip":
            found.append(Token(match.lastgroup, match[0], at, match.end()))
        at = match.end()
    return found


def changes(promql: str) -> Iterator[Change]:
    """Every operator, aggregation, number and matcher turned; every operand of and, or and unless
    dropped, and every label of a `by`."""
    found = tokens(promql)
    braces = 0
    for at, token in enumerate(found):
        braces += {"{": 1, "}": -1}.get(token.text, 0)
        for new in turned(token, braces > 0):
            yield replaced(promql, token, new)
        if token.text in SETS:
            yield from dropped(promql, found, at)
        for new in AGGREGATED.get(token.text, ()):
            if not same(found, at, new):
                yield replaced(promql, token, new)
        if token.text == "by":
            yield from coarser(promql, found, at)


def turned(token: Token, matcher: bool) -> Sequence[str]:
    if token.kind == "number":
        return scaled(float(token.text))
    table = MATCHED if matcher else COMPARED | RECKONED
    return [table[token.text]] if token.text in table else []


def scaled(value: float) -> list[str]:
    if value < SMALL and value.is_integer():
        return [f"{near:g}" for near in (value - 1, value + 1) if near >= 0]
    return [f"{value * scale:.10g}" for scale in SCALES]


def replaced(promql: str, token: Token, new: str) -> Change:
    near = " ".join(promql[max(token.start - 30, 0) : token.end + 20].split())
    return Change(
        f"{token.text} -> {new} near `{near}`", promql[: token.start] + new + promql[token.end :]
    )


def same(found: Sequence[Token], at: int, new: str) -> bool:
    """`sum` and `max` of what is never negative are alike where only 0 is asked for."""
    lists = 2 if found[at + 1].text == "by" else 1
    end, depth = at, 0
    while lists:
        end += 1
        depth += {"(": 1, ")": -1}.get(found[end].text, 0)
        lists -= found[end].text == ")" and depth == 0
    asked = [token.text for token in found[end + 1 : end + 3]]
    return {found[at].text, new} == {"sum", "max"} and asked in (["==", "0"], [">", "0"])


def coarser(promql: str, found: Sequence[Token], at: int) -> Iterator[Change]:
    """Without one label of `by (…)` each."""
    end = next(place for place in range(at, len(found)) if found[place].text == ")")
    names = [token.text for token in found[at:end] if token.kind == "word"][1:]
    for name in names:
        kept = ", ".join(other for other in names if other != name)
        near = " ".join(promql[max(found[at].start - 10, 0) : found[end].end + 30].split())
        yield Change(
            f"without the label {name} near `{near}`",
            f"{promql[: found[at].start]}by ({kept}{promql[found[end].start :]}",
        )


def dropped(promql: str, found: Sequence[Token], at: int) -> Iterator[Change]:
    """Without the right side; of an `or`, also without the left one."""
    end = reach(found, at, step=1)
    what = " ".join(promql[found[at].start : end].split())
    yield Change(f"without `{what[:60]}`", promql[: found[at].start] + promql[end:])
    if found[at].text == "or":
        start = reach(found, at, step=-1)
        what = " ".join(promql[start : found[at].end].split())
        rest = re.sub(r"^\s+on\s*\([^)]*\)", "", promql[found[at].end :])
        yield Change(f"without `{what[-60:]}`", promql[:start] + rest)


def reach(found: Sequence[Token], at: int, step: int) -> int:
    """How far the operand of the operator `at` goes; `and` and `unless` bind tighter than `or`."""
    ends = {"or"} if found[at].text == "or" else SETS
    inward, outward = ("({", ")}") if step > 0 else (")}", "({")
    depth, last = 0, found[at]
    for token in found[at + step :: step]:
        depth += (token.text in inward) - (token.text in outward)
        if depth < 0 or (depth == 0 and token.text in ends):
            break
        last = token
    return last.end if step > 0 else last.start
