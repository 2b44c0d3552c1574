"""The bounded door to Prometheus: two reads, every parameter parsed and rebuilt.

Bounds: a query of 4 KiB, 31 days, 11,000 points, 8 s, 8 at once. Our credentials stay here.
"""

import asyncio
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from dpl_router.control import Answer, Control
from dpl_router.errors import BadRequest, DplError, Overloaded, Unavailable, UpstreamSilent
from dpl_router.metrics import ProxyOutcome, RouterMetrics

LONGEST_QUERY = 4096
LONGEST_RANGE = 31 * 86400.0
MOST_POINTS = 11_000
SECONDS = 8.0
AT_ONCE = 8
CALLERS_FAULT = (400, 422)
"""Statuses by which Prometheus refuses a query, as its HTTP API documents them."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}

Parameters = Sequence[tuple[str, str]]


class PromqlDoor:
    def __init__(self, prometheus: Control | None, metrics: RouterMetrics) -> None:
        self._prometheus = prometheus
        self._metrics = metrics
        self._places = asyncio.Semaphore(AT_ONCE)

    async def query(self, given: Parameters) -> Answer:
        """Raises: BadRequest, Overloaded, Unavailable, UpstreamSilent."""
        return await self._ask("/api/v1/query", instant_parameters, given)

    async def query_range(self, given: Parameters) -> Answer:
        """Raises: BadRequest, Overloaded, Unavailable, UpstreamSilent."""
        return await self._ask("/api/v1/query_range", range_parameters, given)

    async def _ask(
        self, path: str, parse: Callable[[Parameters], dict[str, str]], given: Parameters
    ) -> Answer:
        try:
            answer = await self._bounded(path, parse(given))
        except DplError as error:
            self._metrics.promql_proxy[_outcome(error)].inc()
            raise
        self._metrics.promql_proxy["ok" if answer.status == 200 else "client_error"].inc()
        return answer  # 200, or one of CALLERS_FAULT

    async def _bounded(self, path: str, parameters: Mapping[str, str]) -> Answer:
        if self._prometheus is None:
            raise Unavailable("no Prometheus is configured; start the router with --prometheus-url")
        if self._places.locked():
            raise Overloaded(f"{AT_ONCE} queries are running already", retry_after=1)
        async with self._places:
            answer = await self._prometheus.get(
                path, {**parameters, "timeout": f"{SECONDS:g}s"}, seconds=SECONDS + 1, tries=2
            )
        if answer.status != 200 and answer.status not in CALLERS_FAULT:
            raise Unavailable(f"Prometheus answered {answer.status}{_words(answer.body)}")
        return answer


class _Failure(msgspec.Struct):
    error: str = ""


def _words(body: bytes) -> str:
    """What Prometheus says of its failure, as `: query timed out`; empty where it says nothing."""
    try:
        said = msgspec.json.decode(body, type=_Failure).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return f": {said[:200]}" if said else ""


def _outcome(error: DplError) -> ProxyOutcome:
    if isinstance(error, UpstreamSilent):
        return "timeout"
    return "upstream_error" if isinstance(error, Unavailable) else "client_error"


def instant_parameters(given: Parameters) -> dict[str, str]:
    """Raises: BadRequest."""
    said = _once(given, {"query", "time"})
    rebuilt = {"query": _query(said)}
    if "time" in said:
        rebuilt["time"] = repr(_time(said, "time"))
    return rebuilt


def range_parameters(given: Parameters) -> dict[str, str]:
    """Raises: BadRequest."""
    said = _once(given, {"query", "start", "end", "step"})
    start, end = _time(said, "start"), _time(said, "end")
    step = _duration(said.get("step", ""))
    if end < start:
        raise BadRequest("end is before start", param="end")
    if end - start > LONGEST_RANGE:
        raise BadRequest("the range is over 31 days", param="start")
    if (end - start) / step > MOST_POINTS:
        raise BadRequest(
            f"more than {MOST_POINTS} points a series: take a step of at least "
            f"{math.ceil((end - start) / MOST_POINTS)} s",
            param="step",
        )
    return {"query": _query(said), "start": repr(start), "end": repr(end), "step": repr(step)}


def _once(given: Parameters, known: set[str]) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, value in given:
        if name not in known:
            raise BadRequest(f"{name} is no parameter here; these are: {sorted(known)}", param=name)
        if name in said:
            raise BadRequest(f"{name} is given twice", param=name)
        said[name] = value
    return said


def _query(said: Mapping[str, str]) -> str:
    query = said.get("query", "")
    if not query.strip():
        raise BadRequest("query is missing", param="query")
    if len(query.encode(errors="replace")) > LONGEST_QUERY:
        raise BadRequest("the query is over 4 KiB", param="query")
    return query


def _time(said: Mapping[str, str], name: str) -> float:
    """Seconds since 1970, or RFC 3339; without a zone it is UTC."""
    text = said.get(name, "")
    try:
        value = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
            value = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        except (ValueError, OverflowError) as error:
            raise BadRequest(f"{name} is neither seconds nor RFC 3339", param=name) from error
    if not math.isfinite(value):
        raise BadRequest(f"{name} is not a finite number", param=name)
    return value


def _duration(text: str) -> float:
    """Seconds as a number, or Prometheus's own form (15s, 1h30m). Raises: BadRequest."""
    try:
        value = float(text)
    except ValueError:
        parts = _DURATION.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise BadRequest("step is no duration; write 15 or 15s", param="step") from None
        value = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not math.isfinite(value) or value <= 0:
        raise BadRequest("step must be above 0", param="step")
    return value
