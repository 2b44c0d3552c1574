"""The few requests that Grafana's dots lead to, kept for a while after their end."""

from msgspec import Struct

MOST = 2000
"""Each bucket of a histogram takes one exemplar a second at most, so these last for an hour and
longer where few ask."""


class Told(Struct):
    """What is told of one request. Times are seconds; nothing of what was said is here."""

    id: str
    began: float
    """Since the epoch."""
    asked: str
    """The name of the model that the client used; empty = any."""
    model: str
    node: str
    reason: str
    attempts: int
    queued: float
    first_token: float
    duration: float
    tokens: int
    outcome: str


class Recent:
    """By id, the last of several; the oldest go first."""

    def __init__(self) -> None:
        self._kept: dict[str, Told] = {}

    def add(self, told: Told) -> None:
        self._kept.pop(told.id, None)
        self._kept[told.id] = told
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]

    def get(self, id_: str) -> Told | None:
        return self._kept.get(id_)
