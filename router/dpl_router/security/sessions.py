"""Browsers that have shown a key: a cookie stands for it, until it lapses or the key ends.

Kept in memory alone, so a router that starts again asks anew. What is kept is the hash of the
cookie and the hash of the key: a key that leaves keys.yaml takes its browsers with it.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable

COOKIE = "dpl_session"
LASTS = 7 * 86400.0
"""Seconds, whether it is used or not."""
MOST = 1000
"""The oldest goes first."""


class Sessions:
    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: seconds of a clock that nobody sets."""
        self._now = now
        self._kept: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        """Hash of a cookie's value -> hash of its key, and until when; the newest last."""

    def begin(self, key: bytes) -> str:
        """`key`: the SHA-256 of a key that is right. The cookie's value."""
        token = secrets.token_urlsafe(32)
        self._kept[_hash(token)] = key, self._now() + LASTS
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return token

    def key_of(self, token: str) -> bytes | None:
        """The hash of its key, which may have ended since; None for a cookie that is none."""
        key, until = self._kept.get(_hash(token), (None, 0.0))
        return key if self._now() < until else None

    def end(self, token: str) -> None:
        self._kept.pop(_hash(token), None)


def cookie(header: bytes) -> str:
    """The session's value in a header `Cookie`; empty where there is none."""
    for part in header.split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == COOKIE.encode():
            return value.decode("latin-1").strip('"')
    return ""


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
