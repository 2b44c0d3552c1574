"""audit.jsonl: who did what to which part, append-only, each line chained to the one before.

`chain` is the SHA-256 of the previous line's chain and this line without it, so that a line that
was changed, taken out or put in between does not fit what follows: `broken_at` finds it. Lines cut
off at the end leave no trace here, and who can write the file can chain it anew: for proof, copy
its last chain to where he cannot.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from dpl_router.security.keys import Identity

START = "0" * 64
LONGEST_TEXT = 300
TAIL = 64 * 1024

log = structlog.get_logger()


class AuditLog:
    """One file for the router's life; continues the chain that it finds.

    A last line that was cut by a crash stays as it is: it never was part of the chain.
    """

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall
        self._one_by_one = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._resume()

    def _resume(self) -> None:
        tail = _tail(self._path)
        self._chain = _last_chain(tail.split(b"\n"))
        self._doubtful = False
        self._torn = bool(tail) and not tail.endswith(b"\n")

    def record(
        self, who: Identity, address: str, action: str, target: str, outcome: str, why: str = ""
    ) -> None:
        """From any thread. `address` is the peer's; `target` what it was done to; `why` the
        caller's own reason, in the line where there is one. A full disk is logged, not raised: it
        must not keep an operator from draining a node."""
        fields = {
            "time": datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds"),
            "actor": who.name,
            "role": who.role.word,
            "address": address,
            "action": action,
            "object": target[:LONGEST_TEXT],
            "outcome": outcome[:LONGEST_TEXT],
        }
        if why:
            fields["why"] = why[:LONGEST_TEXT]
        with self._one_by_one:  # each line needs the chain of the one before
            self._record(action, fields)

    def _record(self, action: str, fields: dict[str, Any]) -> None:
        try:
            if self._doubtful:
                self._resume()
            chain = _chained(self._chain, fields)
            line = json.dumps({**fields, "chain": chain}).encode() + b"\n"
            self._append(b"\n" * self._torn + line)
            self._chain, self._torn = chain, False
        except OSError as error:
            log.error("audit line lost", action=action, error=error.strerror)
            self._doubtful = True  # a part of the line may be there

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(0, "written in part")
        finally:
            os.close(descriptor)


def broken_at(lines: Iterable[bytes]) -> int | None:
    """The first line (from 1) that does not continue the chain; None where all do."""
    chain = START
    for number, line in enumerate(lines, 1):
        record = _record(line)
        if record is None:
            continue
        told = record.pop("chain")
        chain = _chained(chain, record)
        if chain != told:
            return number
    return None


def _chained(previous: str, fields: dict[str, Any]) -> str:
    return hashlib.sha256((previous + json.dumps(fields, sort_keys=True)).encode()).hexdigest()


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return file.read()
    except FileNotFoundError:
        return b""


def _last_chain(lines: list[bytes]) -> str:
    for line in reversed(lines):
        record = _record(line)
        if record is not None:
            return str(record["chain"])
    return START


def _record(line: bytes) -> dict[str, Any] | None:
    """None for a line that is torn or empty."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "chain" in record else None
