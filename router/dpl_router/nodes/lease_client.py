"""The exporter's lease API as calls: api.md section 1. One attempt each, 0.5 s, never retried."""

from dataclasses import dataclass

import msgspec

from dpl_router.control import Control
from dpl_router.errors import Unavailable

SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Granted:
    """`token` is the fencing token to renew and release with; `free` slots are left."""

    token: int
    slots: int
    free: int


class Holder(msgspec.Struct, frozen=True):
    owner: str = ""
    slots: int = 0
    exclusive: bool = False
    expires_in: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """409: who holds the node, and the seconds after which asking again makes sense."""

    holders: tuple[Holder, ...]
    expires_in: float

    def exclusive_of_others(self, owner: str) -> bool:
        return any(holder.exclusive and holder.owner != owner for holder in self.holders)

    def slots_of_others(self, owner: str) -> int:
        return sum(holder.slots for holder in self.holders if holder.owner != owner)


class _Lease(msgspec.Struct):
    token: int
    slots: int
    slots_free: int


class _Conflict(msgspec.Struct):
    holders: list[Holder] = []
    expires_in: float | None = None


class LeaseClient:
    """One exporter, asked in the name of one `owner`."""

    def __init__(self, control: Control, owner: str) -> None:
        self._control = control
        self._owner = owner

    async def lock(self, slots: int, ttl: float, token: int | None = None) -> Granted | Refused:
        """Take, renew (with the token) or resize a shared lease.

        Raises: Unavailable, UpstreamSilent where the exporter gave no usable answer.
        """
        wish: dict[str, object] = {"owner": self._owner, "ttl_seconds": ttl, "slots": slots}
        if token is not None:
            wish["token"] = token
        answer = await self._control.post("/lock", msgspec.json.encode(wish), seconds=SECONDS)
        try:
            if answer.status == 200:
                lease = msgspec.json.decode(answer.body, type=_Lease)
                return Granted(lease.token, lease.slots, lease.slots_free)
            if answer.status == 409:
                conflict = msgspec.json.decode(answer.body, type=_Conflict)
                return Refused(tuple(conflict.holders), conflict.expires_in or 1.0)
        except msgspec.DecodeError as error:
            raise Unavailable(f"{self._control.base}/lock answered something else") from error
        raise Unavailable(f"{self._control.base}/lock answered {answer.status}")

    async def unlock(self, token: int) -> None:
        """A refusal changes nothing: the lease is then no longer ours.

        Raises: Unavailable, UpstreamSilent.
        """
        wish = {"owner": self._owner, "token": token}
        await self._control.post("/unlock", msgspec.json.encode(wish), seconds=SECONDS)

    async def force_unlock(self) -> bool:
        """Release whoever holds the node; needs the operator key. False where it was refused.

        Raises: Unavailable, UpstreamSilent.
        """
        answer = await self._control.post("/unlock", b'{"force": true}', seconds=SECONDS)
        return answer.status == 200
