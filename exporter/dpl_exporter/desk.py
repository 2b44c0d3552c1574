"""The lease desk: bytes of a request in, a JSON document out, one caller at a time.

The contract is the lease API: what is refused changes nothing. Only durations cross the wire;
deadlines run on the monotonic clock.
"""

import json
import logging
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dpl_exporter.errors import BadRequest, Conflict
from dpl_exporter.lease import ANONYMOUS, Ask, Busy, Counts, Lease, Leases, NeverFits, Stale
from dpl_exporter.logs import quoted
from dpl_exporter.slots import Slots

LONGEST_TTL = 300.0
ANONYMOUS_TTL = 60.0
LONGEST_OWNER = 200
MOST_PRIORITY = 2**31

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """Readings for the metrics; `expires_in` in seconds, None while nothing is held."""

    held: bool
    exclusive: bool
    capacity: int
    in_use: int
    newest_token: int
    expires_in: float | None
    counts: Counts


class LeaseDesk:
    """One critical section around the leases; nothing in it waits for anything but the disk."""

    def __init__(
        self, slots: Slots, next_token: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self._slots = slots
        self._leases = Leases(slots.value(), next_token)
        self._now = monotonic
        self._one_at_a_time = threading.Lock()

    def lock(self, body: bytes) -> dict[str, object]:
        """POST /lock. Raises: BadRequest, Conflict."""
        ask = read_ask(body)
        with self._one_at_a_time:
            now = self._open()
            try:
                lease = self._leases.acquire(ask, now)
            except NeverFits as refused:
                raise self._hopeless(refused.reason, now) from None
            except Busy as busy:
                raise self._conflict(busy.reason, busy.wait, now) from None
            except Stale:
                raise self._stale(now) from None
            return {**self._shown(lease, now), "token": lease.token, **self._free()}

    def unlock(self, body: bytes) -> dict[str, object]:
        """POST /unlock. Raises: BadRequest, Conflict."""
        with self._one_at_a_time:
            now = self._open()
            if not body:
                return self._unlock_anonymous(now)
            document = read_object(body)
            if read_flag(document, "force"):
                return self._unlock_all(now)
            owner, token = read_owner(document), read_token(document)
            if token is None:
                raise BadRequest('"token" is missing: send what /lock answered')
            try:
                self._leases.release(owner, token, now)
            except Stale:
                raise self._stale(now) from None
            return {"owner": owner, "released": [owner], **self._free()}

    def status(self) -> dict[str, object]:
        """The `lock` of /status."""
        with self._one_at_a_time:
            now = self._open()
            holders = self._holders(now)
            return {
                "owner": holders[0]["owner"] if holders else None,
                "holders": holders,
                "slots": self._leases.capacity,
                **self._free(),
                "exclusive": self._leases.exclusive(),
            }

    def facts(self) -> LeaseFacts:
        """What the lease collector exports."""
        with self._one_at_a_time:
            now = self._open()
            holders = self._leases.holders()
            counts = self._leases.counts
            return LeaseFacts(
                held=bool(holders),
                exclusive=self._leases.exclusive(),
                capacity=self._leases.capacity,
                in_use=self._leases.in_use(),
                newest_token=self._leases.newest_token,
                expires_in=max((one.deadline - now for one in holders), default=None),
                counts=replace(counts, released=dict(counts.released), held=list(counts.held)),
            )

    def _open(self) -> float:
        """Bring capacity and expiry up to date. The time that the whole call counts as."""
        now = self._now()
        self._leases.capacity = self._slots.value()
        self._leases.expire(now)
        return now

    def _unlock_anonymous(self, now: float) -> dict[str, object]:
        try:
            ended = self._leases.release_anonymous(now)
        except Busy as busy:
            raise self._conflict(busy.reason, busy.wait, now) from None
        return {"released": [ended.owner] if ended else [], **self._free()}

    def _unlock_all(self, now: float) -> dict[str, object]:
        owners = [lease.owner for lease in self._leases.release_all(now)]
        log.warning(
            "leases released by force count=%d owners=%s", len(owners), quoted(",".join(owners))
        )
        return {"released": owners, **self._free()}

    def _shown(self, lease: Lease, now: float) -> dict[str, object]:
        return {
            "owner": lease.owner,
            "slots": self._leases.capacity if lease.exclusive else lease.slots,
            "exclusive": lease.exclusive,
            "expires_in": round(lease.deadline - now, 3),
            "priority": lease.priority,
        }

    def _holders(self, now: float) -> list[dict[str, object]]:
        return [self._shown(lease, now) for lease in self._leases.holders()]

    def _free(self) -> dict[str, object]:
        return {"slots_free": self._leases.free()}

    def _conflict(self, reason: str, wait: float, now: float) -> Conflict:
        return Conflict(
            reason,
            headers={"Retry-After": str(max(1, math.ceil(wait)))},
            extra={"holders": self._holders(now), "expires_in": round(wait, 3)},
        )

    def _stale(self, now: float) -> Conflict:
        return self._hopeless("the token is not this owner's current one", now)

    def _hopeless(self, reason: str, now: float) -> Conflict:
        """Waiting does not help here, so there is no Retry-After. (409 also where the node is too
        small: it is what makes the router ask for less.)
        """
        return Conflict(reason, extra={"holders": self._holders(now), "expires_in": 0.0})


def read_ask(body: bytes) -> Ask:
    """The body of /lock; empty = an anonymous exclusive lease. Raises: BadRequest."""
    if not body:
        return Ask(owner=ANONYMOUS, ttl=ANONYMOUS_TTL, exclusive=True, anonymous=True)
    document = read_object(body)
    return Ask(
        owner=read_owner(document),
        ttl=_read_ttl(document),
        slots=_read_whole(document, "slots", 1, 2**31),
        exclusive=read_flag(document, "exclusive"),
        token=read_token(document),
        priority=_read_whole(document, "priority", -MOST_PRIORITY, MOST_PRIORITY),
    )


def read_object(body: bytes) -> Mapping[str, object]:
    """A JSON object, in UTF-8. Raises: BadRequest."""
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {str(error)[:100]}") from None
    if not isinstance(document, dict):
        raise BadRequest("the body must be a JSON object")
    return document


def read_owner(document: Mapping[str, object]) -> str:
    owner = document.get("owner")
    if not isinstance(owner, str) or not 1 <= len(owner) <= LONGEST_OWNER:
        raise BadRequest(f'"owner" must be a text of 1 to {LONGEST_OWNER} characters')
    if not owner.isprintable():
        raise BadRequest('"owner" must be printable')
    return owner


def read_token(document: Mapping[str, object]) -> int | None:
    """Tokens are exact in a float, and some clients know no other numbers."""
    token = document.get("token")
    if isinstance(token, float) and token.is_integer():
        return int(token)
    return _read_whole(document, "token", 0, 2**53)


def read_flag(document: Mapping[str, object], name: str) -> bool | None:
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f'"{name}" must be true or false')
    return value


def _read_ttl(document: Mapping[str, object]) -> float:
    ttl = document.get("ttl_seconds")
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= LONGEST_TTL:
        raise BadRequest(f'"ttl_seconds" must be a number above 0 and at most {LONGEST_TTL:g}')
    return float(ttl)


def _read_whole(document: Mapping[str, object], name: str, least: int, most: int) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadRequest(f'"{name}" must be a whole number from {least} to {most}')
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
