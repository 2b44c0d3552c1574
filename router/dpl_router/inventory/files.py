"""The files that nodes.yaml names: certificates, keys, secrets. A renewed one is another."""

import hashlib
from pathlib import Path

from dpl_router.inventory.values import BadValue

LARGEST = 1024 * 1024
"""Bytes; the bundle of all public authorities has 250 KB."""


class NamedFiles:
    """Relative paths start at `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.named: set[Path] = set()
        """All that were looked for, also those that are missing."""
        self.found: dict[Path, str] = {}
        """Path -> digest of what was in it, since somebody emptied this."""

    def find(self, text: str) -> Path:
        """A readable plain file. Raises: BadValue."""
        try:
            path = self._folder / Path(text).expanduser()
            self.named.add(path)
            if not path.is_file():
                raise BadValue(f"there is no file {path}")
            with path.open("rb") as file:
                start = file.read(LARGEST + 1)
        except (OSError, RuntimeError, ValueError) as error:
            if isinstance(error, BadValue):
                raise
            reason = getattr(error, "strerror", None) or error
            raise BadValue(f"the file {text} cannot be read: {reason}") from None
        if len(start) > LARGEST:
            raise BadValue(f"{path} is larger than {LARGEST // 1024} KiB: no certificate or key is")
        self.found[path] = hashlib.sha256(start).hexdigest()
        return path
