"""The exporter's lease API as calls: api.md section 1. One attempt each, 0.5 s, never retried."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dpl_router.control import Control, read_json
from dpl_router.errors import Unavailable

SECONDS = 0.5
LONGEST_LEASE = 300.0
LARGEST_ANSWER = 256 * 1024

Slots = Annotated[int, Meta(ge=0, le=1_000_000)]
"""No node has more: what says so is broken, and its answer is none."""


class KeyRefused(Unavailable):
    """401 or 403: the exporter wants a key, or another one."""


@dataclass(frozen=True, slots=True)
class Granted:
    """`token` is the fencing token to renew and release with; `free` slots are left."""

    token: int
    slots: int
    free: int


class Holder(msgspec.Struct, frozen=True):
    owner: str = ""
    slots: Slots = 0
    exclusive: bool = False
    expires_in: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """409: who holds the node, and the seconds after which asking again makes sense, at most 300"""

    holders: tuple[Holder, ...]
    expires_in: float

    def knows(self, owner: str) -> bool:
        """False: what was refused is the token; `owner` holds nothing any more."""
        return any(holder.owner == owner for holder in self.holders)

    def exclusive_of_others(self, owner: str) -> bool:
        return any(holder.exclusive and holder.owner != owner for holder in self.holders)

    def slots_of_others(self, owner: str) -> int:
        return sum(holder.slots for holder in self.holders if holder.owner != owner)


@dataclass(frozen=True, slots=True)
class NeverFits:
    """400: the node has fewer slots than were asked for; what was held is held."""


class _Lease(msgspec.Struct):
    token: Annotated[int, Meta(ge=0, le=2**53)]
    slots: Annotated[int, Meta(ge=1, le=1_000_000)]
    slots_free: Slots


class _Conflict(msgspec.Struct):
    holders: list[Holder] = []
    expires_in: float | None = None


class _Released(msgspec.Struct):
    released: list[str] | None = None


class _Lock(msgspec.Struct):
    holders: list[Holder]


class _Status(msgspec.Struct):
    lock: _Lock


_lease = msgspec.json.Decoder(_Lease).decode
_conflict = msgspec.json.Decoder(_Conflict).decode
_released = msgspec.json.Decoder(_Released).decode
_status = msgspec.json.Decoder(_Status).decode


class LeaseClient:
    """One exporter, asked in the name of one `owner`."""

    def __init__(self, control: Control, owner: str) -> None:
        self._control = control
        self._owner = owner

    async def lock(
        self, slots: int, ttl: float, token: int | None = None
    ) -> Granted | Refused | NeverFits:
        """Take, renew (with the token) or resize a shared lease.

        Raises: Unavailable, UpstreamSilent where the exporter gave no usable answer.
        """
        return await self._ask({"slots": slots}, ttl, token, may_not_fit=slots > 1)

    async def lock_whole(self, ttl: float, token: int | None = None) -> Granted | Refused:
        """Take or renew an exclusive lease: nobody else's stands beside it.

        Raises: as `lock`.
        """
        answer = await self._ask({"exclusive": True}, ttl, token, may_not_fit=False)
        assert not isinstance(answer, NeverFits)
        return answer

    async def _ask(
        self, how: dict[str, object], ttl: float, token: int | None, *, may_not_fit: bool
    ) -> Granted | Refused | NeverFits:
        wish: dict[str, object] = {"owner": self._owner, "ttl_seconds": ttl, **how}
        if token is not None:
            wish["token"] = token
        answer = await self._control.post(
            "/lock", msgspec.json.encode(wish), seconds=SECONDS, most=LARGEST_ANSWER
        )
        whose = f"{self._control.base}/lock"
        if answer.status == 200:
            lease = read_json(_lease, answer.body, whose)
            return Granted(lease.token, lease.slots, lease.slots_free)
        if answer.status == 409:
            conflict = read_json(_conflict, answer.body, whose)
            wait = min(conflict.expires_in or 1.0, LONGEST_LEASE)
            return Refused(tuple(conflict.holders), wait)
        if answer.status == 400 and may_not_fit:  # nothing else in our wishes could be wrong
            return NeverFits()
        raise _refusal(answer.status)(f"{whose} answered {answer.status}")

    async def unlock(self, token: int) -> None:
        """A refusal changes nothing: the lease is then no longer ours.

        Raises: Unavailable, UpstreamSilent.
        """
        wish = {"owner": self._owner, "token": token}
        await self._control.post("/unlock", msgspec.json.encode(wish), seconds=SECONDS)

    async def force_unlock(self) -> Literal["released", "refused", "nothing was held"]:
        """Release whoever holds the node; needs the operator key.

        Raises: Unavailable, UpstreamSilent.
        """
        answer = await self._control.post("/unlock", b'{"force": true}', seconds=SECONDS)
        if answer.status != 200:
            return "refused"
        owners = read_json(_released, answer.body, f"{self._control.base}/unlock").released
        return "nothing was held" if owners == [] else "released"

    async def holders(self) -> Sequence[Holder]:
        """Everybody who holds something of the node. Raises: Unavailable, UpstreamSilent."""
        answer = await self._control.get("/status", seconds=SECONDS, most=LARGEST_ANSWER)
        whose = f"{self._control.base}/status"
        if answer.status != 200:
            raise _refusal(answer.status)(f"{whose} answered {answer.status}")
        return read_json(_status, answer.body, whose).lock.holders


def _refusal(status: int) -> type[Unavailable]:
    return KeyRefused if status in (401, 403) else Unavailable
