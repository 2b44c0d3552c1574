"""What Alertmanager sends to a webhook (version 4 of its payload), checked whole before it counts.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dpl_router.bodies import decoded
from dpl_router.errors import BadRequest

MOST_ALERTS = 10_000
LONGEST_TEXT = 200

Labels = dict[
    Annotated[str, Meta(max_length=200)],
    Annotated[str, Meta(max_length=4096)],
]


class Alert(msgspec.Struct, frozen=True):
    status: Literal["firing", "resolved"]
    labels: Labels
    fingerprint: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{1,64}\Z")]
    annotations: dict[str, str] = {}

    @property
    def name(self) -> str:
        return name_of(self.labels.get("alertname", ""))

    @property
    def node(self) -> str:
        """Empty where it names none."""
        return self.labels.get("node", "")

    @property
    def why(self) -> str:
        return words(self.annotations.get("summary", ""))


class Payload(msgspec.Struct, frozen=True):
    version: Literal["4"]
    alerts: Annotated[list[Alert], Meta(max_length=MOST_ALERTS)]
    receiver: Annotated[str, Meta(max_length=200)] = ""
    truncatedAlerts: Annotated[int, Meta(ge=0)] = 0


_decode = msgspec.json.Decoder(Payload).decode


def read(body: bytes) -> Payload:
    """Raises: BadRequest, with the place in the body."""
    try:
        return decoded(_decode, body)
    except BadRequest as error:
        why = f"this is no call of Alertmanager's: {error.message}"
        raise BadRequest(why, param=error.param) from error


def name_of(alert: str) -> str:
    """An alert's, as cordons keep it; whoever compares names takes both by this."""
    return words(alert) or "unnamed"


def words(text: str) -> str:
    """One line that a log, a page and a terminal can show."""
    flat = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(flat.split())[:LONGEST_TEXT]
