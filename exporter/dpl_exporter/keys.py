"""Who may do what, from the keys file.

Format: `keys: [{name, role: viewer|user|operator, sha256: <hex of the key>, expires?}]`; the
router's other fields (models, rpm, concurrency) may stand there and mean nothing here. A changed
file counts from the next call on; a bad one keeps the keys that were, and says so once.
"""

import hashlib
import hmac
import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path

import yaml

from dpl_exporter.errors import NotAllowed, NotAuthenticated, SettingsError, TooManyWrongKeys
from dpl_exporter.logs import quoted

LARGEST_FILE = 2**20
WRONG_KEYS = 100
WRONG_WINDOW = 60.0
DEEPEST = 6
MOST_PEERS = 10_000

log = logging.getLogger(__name__)


class Role(IntEnum):
    """Each may what those below it may."""

    VIEWER = 1
    USER = 2
    OPERATOR = 3


@dataclass(frozen=True, slots=True)
class Key:
    """`expires` in seconds since 1970, None = never."""

    name: str
    role: Role
    sha256: bytes
    expires: float | None


class Keys:
    """The keys file as it is now."""

    def __init__(
        self, file: Path, wall: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        """Raises: SettingsError where the file is no keys file."""
        self._file = file
        self._wall = wall
        self._wrong = WrongKeys(monotonic)
        self._seen = stamp(self._file)
        self._keys = read_keys(file)
        self._one_at_a_time = threading.Lock()

    def require(self, role: Role, header: str, peer: str) -> None:
        """`header` is the Authorization header, empty where there is none.

        Raises: NotAuthenticated, NotAllowed, TooManyWrongKeys.
        """
        scheme, _, shown = header.partition(" ")
        if scheme.lower() != "bearer" or not shown.strip():
            raise NotAuthenticated(
                "a key is needed: Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )
        with self._one_at_a_time:
            self._reload()
            key = self._find(shown.strip())
            if key is None:
                self._wrong.count(peer)
                raise NotAuthenticated(
                    "this key is not known", headers={"WWW-Authenticate": "Bearer"}
                )
        if key.role < role:
            raise NotAllowed(f"this needs a key of role {role.name.lower()}")

    def _find(self, shown: str) -> Key | None:
        digest = hashlib.sha256(shown.encode("utf-8", "surrogateescape")).digest()
        found = None
        for key in self._keys:  # the whole list, so that the time tells nothing
            if hmac.compare_digest(key.sha256, digest):
                found = key
        if found is None or (found.expires is not None and found.expires <= self._wall()):
            return None
        return found

    def _reload(self) -> None:
        now = stamp(self._file)
        if now == self._seen:
            return
        self._seen = now
        try:
            self._keys = read_keys(self._file)
        except SettingsError as error:
            log.error("keys file not taken, the old keys stay reason=%s", quoted(error.message))
        else:
            log.info("keys file taken file=%s keys=%d", quoted(self._file), len(self._keys))


def stamp(file: Path) -> tuple[int, int, int] | None:
    """Another one where the file has changed; None where it cannot be looked at."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


class WrongKeys:
    """Wrong keys per peer address, at most 100 in a minute.

    Of 10,000 addresses; then the one that has been silent longest is forgotten.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._times: dict[str, deque[float]] = {}

    def count(self, peer: str) -> None:
        """Raises: TooManyWrongKeys."""
        now = self._now()
        times = self._times.pop(peer, None) or deque(maxlen=WRONG_KEYS)
        if len(self._times) >= MOST_PEERS:
            del self._times[next(iter(self._times))]
        self._times[peer] = times
        if len(times) == WRONG_KEYS and now - times[0] < WRONG_WINDOW:
            wait = int(WRONG_WINDOW - (now - times[0])) + 1
            raise TooManyWrongKeys(
                "too many wrong keys from this address", headers={"Retry-After": str(wait)}
            )
        times.append(now)


def read_keys(file: Path) -> tuple[Key, ...]:
    """Raises: SettingsError with the file, the place and what is wrong there."""
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise SettingsError(f"keys file {file} cannot be read: {error.strerror}") from None
    if len(text) > LARGEST_FILE:
        raise SettingsError(f"keys file {file} is larger than 1 MiB")
    try:
        _is_plain(text, file)
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SettingsError(f"keys file {file} is not YAML: {reason}") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise SettingsError(f"keys file {file}: the top must be `keys:` with a list below it")
    keys = tuple(
        _read_key(entry, f"keys file {file}: keys[{i}]") for i, entry in enumerate(entries)
    )
    _names_differ(keys, file)
    return keys


def _is_plain(text: bytes, file: Path) -> None:
    """Aliases and depth make a small file enormous, or slow, to read; a tag that does not fit its
    value (`!!int ""`) makes PyYAML raise whatever comes, and nothing here needs one.
    """
    depth = 0
    for event in yaml.parse(text):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
            raise SettingsError(f"keys file {file} has YAML aliases or too many levels")
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = " ".join(tag.replace("tag:yaml.org,2002:", "!!").split())[:50]
            line = 1 + (event.start_mark.line if event.start_mark else 0)
            raise SettingsError(f"keys file {file}, line {line}: the tag {shown} must go")


def _read_key(entry: object, where: str) -> Key:
    if not isinstance(entry, Mapping):
        raise SettingsError(f"{where} must have name, role and sha256")
    name, role, sha256 = entry.get("name"), entry.get("role"), entry.get("sha256")
    if not isinstance(name, str) or not name:
        raise SettingsError(f"{where}.name must be a text")
    if not isinstance(role, str) or role.upper() not in Role.__members__:
        raise SettingsError(f"{where}.role must be viewer, user or operator")
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise SettingsError(f"{where}.sha256 must be 64 hex digits (quote them)")
    expires = _read_expiry(entry.get("expires"), where)
    return Key(name, Role[role.upper()], bytes.fromhex(sha256), expires)


def _read_expiry(value: object, where: str) -> float | None:
    """YAML makes a datetime of `2026-12-31T23:59:59Z`, unless it is quoted."""
    if value is None:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise SettingsError(f"{where}.expires must look like 2026-12-31T23:59:59Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _names_differ(keys: Sequence[Key], file: Path) -> None:
    seen = set()
    for key in keys:
        if key.name in seen:
            raise SettingsError(f"keys file {file}: the name {key.name!r} stands there twice")
        seen.add(key.name)
