"""Numbers as Grafana writes them, for the preview: a few units, three digits."""

import time
from collections.abc import Sequence

Scale = Sequence[tuple[float, str]]
THOUSANDS: Scale = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"), (1, "")]
BINARY: Scale = [(2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (1024, "KiB"), (1, "B")]
SECONDS: Scale = [
    (86400, "d"),
    (3600, "h"),
    (60, "min"),
    (1, "s"),
    (1e-3, "ms"),
    (1e-6, "µs"),
]
SUFFIX = {
    "Bps": "B/s",
    "bps": "b/s",
    "watt": "W",
    "joule": "J",
    "celsius": "°C",
    "reqps": "req/s",
    "ops": "ops/s",
    "short": "",
    "none": "",
}


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    if unit == "percentunit":
        return f"{value * 100:.{1 if decimals is None else decimals}f}%"
    if unit == "dateTimeFromNow":
        return _from_now(value / 1000 - time.time())
    if unit == "bytes":
        return _scaled(value, BINARY, " ", "", decimals)
    if unit == "s":
        return _scaled(value, SECONDS, " ", "", decimals)
    suffix = SUFFIX[unit]
    text = _scaled(value, THOUSANDS, " " if suffix else "", suffix, decimals)
    return text.replace("K", "k") if suffix else text


def _scaled(value: float, scale: Scale, gap: str, suffix: str, decimals: int | None) -> str:
    factor, letter = next((each for each in scale if abs(value) >= each[0]), scale[-1])
    if value == 0 or (abs(value) < 1 and scale is THOUSANDS):
        factor, letter = 1, "" if scale is THOUSANDS else scale[-1][1]
    if value == 0 and scale is SECONDS:
        letter = "s"
    number = value / factor
    text = f"{number:.{decimals}f}" if decimals is not None else f"{number:.3g}"
    if "e" in text:
        text = f"{number:.0f}" if abs(number) >= 1 else f"{number:.1e}"
    return f"{text}{gap}{letter}{suffix}".strip()


def _from_now(seconds: float) -> str:
    words = [(86400 * 365, "year"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")]
    count, word = next(
        ((abs(seconds) / size, word) for size, word in words if abs(seconds) >= size),
        (0.0, "second"),
    )
    text = f"{count:.0f} {word}{'' if round(count) == 1 else 's'}"
    return f"in {text}" if seconds > 0 else f"{text} ago"
