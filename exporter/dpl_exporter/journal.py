"""The fencing token's high-water mark on disk.

Tokens must rise over the exporter's whole life, `kill -9` included. So the mark is written ahead
in blocks: first `mark + BLOCK` goes to disk (fsync, rename, fsync of the folder), then the tokens
below it are handed out. A process starts at the mark or at the wall clock in microseconds,
whichever is more: both stay exact in a float (below 2^53).
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from dpl_exporter.logs import quoted

BLOCK = 1000
EXACT = 2**53
FILE = "fencing-token"

log = logging.getLogger(__name__)


class Journal:
    """Hands out tokens. `persistent` is False while the mark cannot be written: the order over
    restarts then rests on the wall clock alone."""

    def __init__(
        self,
        folder: Path,
        wall: Callable[[], float],
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._file = folder / FILE
        self._sync = sync
        self._token = max(self._stored(), int(wall() * 1e6))
        self._mark = self._token
        self.persistent = False
        self._reserve()

    def next_token(self) -> int:
        """A token above every one before it."""
        if self._token + 1 >= self._mark or not self.persistent:
            self._reserve()
        self._token += 1
        return self._token

    def _reserve(self) -> None:
        """Move the mark ahead. Never lowers one that another process wrote."""
        mark = max(self._token, self._stored()) + BLOCK
        try:
            self._write(mark)
        except OSError as error:
            if self.persistent:
                log.error(
                    "fencing token cannot be stored file=%s reason=%s",
                    quoted(self._file),
                    quoted(error),
                )
            self.persistent = False
        else:
            self.persistent = True
        self._mark = mark

    def _stored(self) -> int:
        """The mark on disk; 0 where there is none or it is not a mark of ours."""
        try:
            text = self._file.read_text("ascii", "replace")[:32].strip()
        except OSError:
            return 0
        mark = int(text) if text.isascii() and text.isdigit() else EXACT
        if mark < EXACT:
            return mark
        log.error(
            "fencing token mark is damaged, starting from the clock file=%s", quoted(self._file)
        )
        return 0

    def _write(self, mark: int) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_name(f"{FILE}.{os.getpid()}.new")
        with fresh.open("w") as file:
            file.write(f"{mark}\n")
            file.flush()
            self._sync(file.fileno())
        fresh.replace(self._file)
        if os.name == "nt":
            return  # Windows has no fsync for folders
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            self._sync(folder)
        finally:
            os.close(folder)
