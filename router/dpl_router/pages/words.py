"""Numbers and states as a person says them. A dash is "not known", never a zero."""

import re
from datetime import UTC, datetime

GIB = 1024**3
DASH = "–"
YEAR_10000 = 253_402_300_800
"""In seconds since 1970: there `datetime` ends."""


def gib(size: int | None) -> str:
    """Bytes as binary gigabytes without the unit: `3.1`, from 100 on `128`."""
    if size is None:
        return DASH
    value = size / GIB
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def whole(percent: float | None) -> str:
    """A percentage without its sign."""
    return DASH if percent is None else f"{percent:.0f}"


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def state_words(reason: str) -> tuple[str, str]:
    """The head and the rest of a state's sentence: `ready, 1 of 4 places taken`."""
    head, *rest = re.split(r"[:,] ", reason, maxsplit=1)
    return head[:1].upper() + head[1:], rest[0] if rest else ""


def moment(at: float | None) -> str:
    """Seconds since 1970 as RFC 3339, to the second; empty where not known."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock(at: float | None) -> str:
    """What stands on the page until the browser makes "3 min ago" of it."""
    if at is None:
        return DASH
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def seconds_of(rfc3339: str) -> float | None:
    """None for what is no time since 1970 that `moment` can tell: it comes from Alertmanager, and
    pages must not fall over it."""
    try:
        at = datetime.fromisoformat(rfc3339).timestamp()
    except (ValueError, OverflowError):
        return None
    return at if 0 <= at < YEAR_10000 else None
