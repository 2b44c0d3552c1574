"""How the numbers of a simulated page move, and the page as a template of them.

A law is arithmetic on the time alone, so a page costs some 0.2 ms, two runs with one seed tell the
same, and a counter is the exact integral of its rate.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import cos, inf, sin, tau

PAST = 86_400.0
"""Seconds for which everything has been counted when the simulator starts."""

Law = Callable[[float], float]
"""Seconds since the start -> the value then."""
Labels = Mapping[str, str]
LawOf = Callable[[str, Labels], Law | None]
"""(name of a sample, its labels) -> its law; None keeps the value that the template has."""
TailOf = Callable[[str, Labels], Callable[[float], str] | None]
"""What follows the value, as ` # {request_id="a"} 0.3 1700000000`; None: nothing."""

_SAMPLE = re.compile(r"(?P<name>\w[\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Wave:
    """mean ± swing, once around in `period` seconds."""

    mean: float
    swing: float = 0.0
    period: float = 120.0
    phase: float = 0.0

    def now(self, t: float) -> float:
        return self.mean + self.swing * sin(tau * t / self.period + self.phase)

    def total(self, t: float) -> float:
        """What a counter of this rate shows; it never falls while the swing is below the mean."""
        turned = cos(self.phase) - cos(tau * t / self.period + self.phase)
        return self.mean * (t + PAST) + self.swing * self.period / tau * turned

    def scaled(self, factor: float, plus: float = 0.0) -> "Wave":
        return Wave(self.mean * factor + plus, self.swing * factor, self.period, self.phase)


def fixed(value: float) -> Law:
    return lambda _: value


def share_below(bound: float, median: float) -> float:
    """Of durations around `median` the part up to `bound`: log-logistic, with a long tail."""
    return 1.0 if bound == inf else 1 / (1 + (median / bound) ** 3)


def of_histogram(name: str, labels: Labels, events: Wave, median: float) -> Law:
    """`name` ends in _bucket, _count or _sum."""
    if name.endswith("_bucket"):
        return events.scaled(share_below(float(labels["le"]), median)).total
    return events.scaled(1.2 * median if name.endswith("_sum") else 1.0).total


class Page:
    """An exposition whose lines are known and whose values are not."""

    def __init__(self, text: str, law_of: LawOf, tail_of: TailOf = lambda *_: None) -> None:
        """`text`: as a program writes it; its values may be `~`.

        Raises: LookupError for a `~` without a law.
        """
        self._parts: list[tuple[str, Law | None, Callable[[float], str] | None]] = []
        kept: list[str] = []
        for line in text.splitlines():
            sample = _SAMPLE.match(line)
            name, labels = read_sample(sample) if sample else ("", {})
            law = law_of(name, labels) if name else None
            if sample is None or law is None:
                if line.endswith(" ~"):
                    home = law_of.__module__.replace(".", "/")
                    raise LookupError(f"no law for {name}: add it to {home}.py")
                kept.append(line + "\n")
                continue
            before = "".join([*kept, line[: sample.start("value")]])
            self._parts.append((before, law, tail_of(name, labels)))
            kept = ["\n"]
        self._parts.append(("".join(kept), None, None))

    def write(self, t: float) -> bytes:
        pieces: list[str] = []
        for before, law, tail in self._parts:
            pieces.append(before)
            if law is not None:
                pieces.append(repr(law(t)))
            if tail is not None:
                pieces.append(tail(t))
        return "".join(pieces).encode()


def read_sample(sample: re.Match[str]) -> tuple[str, dict[str, str]]:
    return sample["name"], dict(_LABEL.findall(sample["labels"] or ""))


def samples_of(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and labels of each line that has a value."""
    for line in text.splitlines():
        if sample := _SAMPLE.match(line):
            yield read_sample(sample)
