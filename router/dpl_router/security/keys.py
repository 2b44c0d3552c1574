"""keys.yaml: who may do what. The file holds SHA-256 hashes, never a key (api.md section 2)."""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from dpl_router.inventory.aliases import LATEST, untagged
from dpl_router.inventory.document import Document, read
from dpl_router.inventory.mistakes import FileError
from dpl_router.inventory.validate import Words, validate

LATER = frozenset({"rpm", "concurrency"})


class Role(IntEnum):
    """Each may what those before it may."""

    VIEWER = 1
    USER = 2
    OPERATOR = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. Without a keys file it is always `EVERYONE`."""

    name: str
    role: Role
    models: tuple[str, ...] = ()
    """Globs; empty = all."""

    def may_use(self, model: str) -> bool:
        """However it is spelled: capitals are no matter, and no tag is `:latest`."""
        if not self.models:
            return True
        short = untagged(model)
        tagged = ":" in short.rpartition("/")[2]
        spelled = (short,) if tagged else (short, short + LATEST)
        globs = [glob.casefold() for glob in self.models]
        return any(fnmatchcase(name, glob) for name in spelled for glob in globs)


EVERYONE = Identity("local", Role.OPERATOR)


@dataclass(frozen=True, slots=True)
class Key:
    identity: Identity
    digest: bytes
    """SHA-256 of the key."""
    expires: float | None = None
    """Unix time; None = never."""


class KeysError(FileError):
    """keys.yaml is wrong; `mistakes` are all of them."""


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


class KeyRing:
    """The keys of one state of the file. A reload makes another ring."""

    def __init__(self, keys: Sequence[Key], wall: Callable[[], float] = time.time) -> None:
        self._keys = tuple(keys)
        self._wall = wall
        self._known: dict[bytes, Key] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def identify(self, secret: str) -> Identity | None:
        """None for a key that is not listed or has expired.

        A new key is compared with the whole list; one that was right is then found by its hash.
        """
        return self.holder(digest_of(secret))

    def holder(self, digest: bytes) -> Identity | None:
        """As `identify`, of a key whose SHA-256 is known."""
        key = self._known.get(digest) or self._find(digest)
        if key is None or (key.expires is not None and self._wall() >= key.expires):
            return None
        return key.identity

    def _find(self, digest: bytes) -> Key | None:
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is not None:
            self._known[digest] = found
        return found


class KeyFields(Struct, forbid_unknown_fields=True):
    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$",
            description="Whose key it is, unique: 1 to 63 letters, digits and . _ @ -.",
        ),
    ]
    role: Annotated[
        Literal["viewer", "user", "operator"],
        Meta(description="What it may do: viewer, user or operator."),
    ]
    sha256: Annotated[
        str,
        Meta(
            pattern=r"^[0-9a-fA-F]{64}$",
            description="The SHA-256 of the key, 64 hexadecimal digits (`dpl key new` writes it).",
            extra_json_schema={"writeOnly": True},
        ),
    ]
    models: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=500)]],
            Meta(description="Names or globs of the models that it may use; without it all."),
        ]
        | UnsetType
    ) = UNSET
    expires: (
        Annotated[
            str,
            Meta(
                pattern=r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d([Zz]|[+-]\d\d:\d\d)$",
                description="When it ends, like 2026-12-31T23:59:59Z.",
            ),
        ]
        | UnsetType
    ) = UNSET


class File(Struct, forbid_unknown_fields=True):
    keys: Annotated[list[KeyFields], Meta(description="The keys: a list.")]


def load_keys(path: Path, wall: Callable[[], float] = time.time) -> KeyRing:
    """Raises: KeysError with every mistake of the file."""
    document = read(path)
    if document.value is None and document.mistakes:
        raise KeysError(document.mistakes)
    fields = validate(document, msgspec.json.schema(File), Words(LATER))
    keys = _keys(document, fields)
    if document.mistakes:
        raise KeysError(document.mistakes)
    return KeyRing([key for key in keys if key is not None], wall)


def _keys(document: Document, fields: Any) -> list[Key | None]:
    entries = fields.get("keys") if isinstance(fields, dict) else None
    keys: list[Key | None] = []
    names: set[str] = set()
    hashes: set[str] = set()
    for index, entry in enumerate(entries or ()):
        entry = entry if isinstance(entry, dict) else {}
        for name, seen in (("name", names), ("sha256", hashes)):
            value = str(entry.get(name, "")).lower() if name == "sha256" else entry.get(name, "")
            if value and value in seen:
                document.wrong(("keys", index, name), f"another key has this {name} already")
            seen.add(value)
        keys.append(_key(document, index, entry))
    return keys


def _key(document: Document, index: int, entry: dict[str, Any]) -> Key | None:
    expires = None
    if "expires" in entry:
        try:
            expires = datetime.fromisoformat(entry["expires"].upper()).timestamp()
        except (ValueError, OverflowError):
            document.wrong(
                ("keys", index, "expires"), "there is no such day", "like 2026-12-31T23:59:59Z"
            )
    if not {"name", "role", "sha256"} <= entry.keys():
        return None
    role = Role[entry["role"].upper()]
    identity = Identity(entry["name"], role, tuple(entry.get("models") or ()))
    return Key(identity, bytes.fromhex(entry["sha256"]), expires)
