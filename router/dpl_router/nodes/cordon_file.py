"""cordons.json in the data directory: written whole, synced, then renamed; never half of one.

A file that cannot be read is put aside under another name, so that no operator's cordon is lost
without a trace; of one that can be read in part the good part counts.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import structlog

from dpl_router.errors import ConfigError
from dpl_router.nodes.cordons import Cordon

MOST_ASIDE = 9
"""Bad files that are kept; beyond that the last is overwritten."""

log = structlog.get_logger()


class _File(msgspec.Struct):
    version: int
    cordons: list[msgspec.Raw]


_file = msgspec.json.Decoder(_File).decode
_cordon = msgspec.json.Decoder(Cordon).decode
BAD = (msgspec.MsgspecError, ValueError, RecursionError)


class CordonFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Cordon]:
        """Empty where there is none yet; what is wrong is logged, not raised.

        Raises: ConfigError where the file is there and cannot be read or put aside: nobody would
        know who is cordoned.
        """
        try:
            return self._load()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(
                f"{self._path} cannot be used ({error.strerror}); it says who is cordoned, so give "
                "the router the right to read and write it"
            ) from error

    def _load(self) -> list[Cordon]:
        body = self._path.read_bytes()
        try:
            entries: Sequence[msgspec.Raw] = _file(body).cordons
        except BAD as error:
            self._put_aside(str(error), kept=0)
            return []
        kept = list(_good(entries))
        if len(kept) < len(entries):
            self._put_aside(f"{len(entries) - len(kept)} entries are none", kept=len(kept))
            self.save(kept)
        return kept

    def save(self, cordons: Iterable[Cordon]) -> None:
        """Raises: OSError; the old file is then still whole."""
        body = msgspec.json.encode({"version": 1, "cordons": list(cordons)})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(body, indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        _sync_folder(self._path.parent)

    def _put_aside(self, why: str, *, kept: int) -> None:
        names = [self._path.with_suffix(f".bad-{number}") for number in range(1, MOST_ASIDE + 1)]
        aside = next((name for name in names if not name.exists()), names[-1])
        self._path.replace(aside)
        log.error(
            "cordons file is not whole",
            why=why,
            kept=kept,
            aside=str(aside),
            next="read it, and cordon again whom it names",
        )


def _good(entries: Iterable[msgspec.Raw]) -> Iterable[Cordon]:
    """An alert's without an end, or an operator's with one, was not written by us."""
    for entry in entries:
        try:
            cordon = _cordon(entry)
        except BAD:
            continue
        if (cordon.source == "alert") == (cordon.until is not None) == bool(cordon.fingerprint):
            yield cordon


def _sync_folder(folder: Path) -> None:
    """Without it the rename itself may be lost in a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # Windows opens no folders
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
