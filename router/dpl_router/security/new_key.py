"""Makes a key and appends its hash to keys.yaml. The key itself is kept nowhere."""

import base64
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

import yaml

from dpl_router.errors import ConfigError
from dpl_router.security.keys import KeyRing, KeysError, Role, load_keys

Entry = dict[str, str]


def new_key(path: Path, name: str, role: Role) -> str:
    """The new key: `dpl_` and 256 random bits. The file is made with mode 0600 where it is missing.

    Raises: ConfigError where the name is taken or the file is wrong; the file then is as it was.
    """
    key = "dpl_" + base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=").lower()
    entry = {"name": name, "role": role.word, "sha256": hashlib.sha256(key.encode()).hexdigest()}
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.parent):
            _append(path, entry)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    return key


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two commands at once must not lose one another's key; the file itself is replaced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _append(path: Path, entry: Entry) -> None:
    old = path.read_text("utf-8-sig", "surrogateescape") if path.is_file() else ""
    before = KeyRing(()) if _blank(old) else load_keys(path)
    for form in (_after_the_last, _written_anew):
        text = form(old, entry)
        temporary = _written_beside(path, text)
        try:
            if len(load_keys(temporary)) == len(before) + 1:
                temporary.replace(path)
                return
        except KeysError as error:
            mistakes = error.mistakes
        finally:
            temporary.unlink(missing_ok=True)
    raise ConfigError(f"{path}: the key {entry['name']!r} cannot be added: {mistakes[-1].text}")


def _blank(text: str) -> bool:
    return all(line.lstrip()[:1] in {"", "#"} for line in text.splitlines())


def _quoted(text: str) -> str:
    """A name such as `no` or `1` is text only in quotes."""
    plain = text.isalpha() and yaml.safe_load(text) == text
    return text if plain else f'"{text}"'


def _after_the_last(old: str, entry: Entry) -> str:
    """Keeps the comments; right for a list that is written one key below the other."""
    line = "{" + ", ".join(f"{field}: {_quoted(text)}" for field, text in entry.items()) + "}"
    if _blank(old):
        return f"{old.rstrip()}\nkeys:\n  - {line}\n".lstrip()
    dashes = [one for one in old.splitlines() if one.lstrip().startswith("- ")]
    indent = len(dashes[0]) - len(dashes[0].lstrip()) if dashes else 2
    return f"{old.rstrip()}\n{' ' * indent}- {line}\n"


def _written_anew(old: str, entry: Entry) -> str:
    """Loses the comments. Every value is text here, so that dates stay as they are written."""
    document = yaml.load(old, Loader=yaml.BaseLoader)
    keys = document["keys"] if document else []
    text: str = yaml.safe_dump({"keys": [*keys, entry]}, sort_keys=False)
    return text


def _written_beside(path: Path, text: str) -> Path:
    """A finished file next to `path`, with the owner and the mode of the one that it replaces."""
    descriptor, name = mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
        if path.exists():
            stat = path.stat()
            os.fchmod(descriptor, stat.st_mode & 0o660 | 0o600)
            if stat.st_uid != os.geteuid():
                os.fchown(descriptor, stat.st_uid, stat.st_gid)
    return Path(name)
