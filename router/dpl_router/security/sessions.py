"""Browsers that have shown a key: a cookie stands for it, until it lapses or the key ends.

Kept in memory alone, so a router that starts again asks anew. What is kept is the hash of the
cookie and the hash of the key: a key that leaves keys.yaml takes its browsers with it.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable

COOKIE = "dpl_session"
"""And the port: `cookie_name`."""
LASTS = 7 * 86400.0
"""Seconds, whether it is used or not."""
MOST_OF_A_KEY = 20
"""Browsers that one key is kept for; its own oldest goes first."""
MOST = 1000
"""The oldest of all goes first."""


class Sessions:
    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: seconds of a clock that nobody sets."""
        self._now = now
        self._kept: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        """Hash of a cookie's value -> hash of its key, and until when; the newest last."""

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, key: bytes) -> str:
        """`key`: the SHA-256 of a key that is right. The cookie's value."""
        self._make_room(key)
        token = secrets.token_urlsafe(32)
        self._kept[_hash(token)] = key, self._now() + LASTS
        return token

    def _make_room(self, key: bytes) -> None:
        """Who signs in a thousand times must sign nobody else out."""
        now = self._now()
        while self._kept and next(iter(self._kept.values()))[1] <= now:
            self._kept.popitem(last=False)
        own = [kept for kept, (whose, _) in self._kept.items() if whose == key]
        if len(own) >= MOST_OF_A_KEY:
            del self._kept[own[0]]
        elif len(self._kept) >= MOST:
            self._kept.popitem(last=False)

    def key_of(self, token: str) -> bytes | None:
        """The hash of its key, which may have ended since; None for a cookie that is none."""
        key, until = self._kept.get(_hash(token), (None, 0.0))
        return key if self._now() < until else None

    def end(self, token: str) -> None:
        self._kept.pop(_hash(token), None)


def cookie_name(host: bytes) -> str:
    """Of the router that a browser asks as `host` (the header). A browser sends a host's cookies to
    all its ports, so each router there has a name of its own."""
    port = host.rpartition(b":")[2]
    return f"{COOKIE}_{port.decode()}" if port.isdigit() else COOKIE


def cookies(header: bytes, host: bytes) -> list[str]:
    """What a header `Cookie` says by that name, once for each time that it does."""
    name = cookie_name(host).encode()
    parts = [part.strip().partition(b"=") for part in header.split(b";")]
    return [value.decode("latin-1").strip('"') for said, _, value in parts if said == name]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
