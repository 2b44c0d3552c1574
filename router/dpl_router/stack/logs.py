"""One readable log out of many: `router      | lease released node=local held_seconds=3.1`."""

import os
import re
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

LONGEST = 4096
"""Characters of one line that are kept."""
LARGEST = 8 * 1024 * 1024
"""Bytes after which a log file moves to NAME.log.1; one such is kept."""

COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)
WARNING = re.compile(r"\blevel=(warn|error)|^\S+ E ", re.IGNORECASE)
"""Prometheus's and Alertmanager's spelling, and llama.cpp's errors (`0.04.329 E srv …`): it warns
whenever a client hangs up."""

ERROR = re.compile(r'\blevel=error\b.*?\berr=(?:"((?:\\.|[^"\\])*)"|(\S+))', re.IGNORECASE)
"""What went wrong, in Prometheus's and Alertmanager's spelling."""
MOST_ERRORS = 3
"""One failure is told in so many lines: the cause first, the last names neither file nor place."""

Wanted = Callable[[str], bool]
Speak = Callable[[str, str], None]
"""Takes the name of a part and a line."""


def everything(_line: str) -> bool:
    return True


def warnings(line: str) -> bool:
    return WARNING.search(line) is not None


class LastWords:
    """What a part said last, for who asks why it failed."""

    def __init__(self) -> None:
        self._line = ""
        self._errors: deque[str] = deque(maxlen=MOST_ERRORS)

    def hear(self, line: str) -> None:
        self._line = line.strip() or self._line
        if found := ERROR.search(line):
            quoted, bare = found.groups()
            self._errors.append(bare or re.sub(r"\\(.)", r"\1", quoted or ""))

    def __str__(self) -> str:
        """Its errors, where it has words for them; else its last line; empty: it said nothing."""
        return "; ".join(self._errors) or self._line


class Talk:
    """What people see, line by line, on one stream; the prefix tells which part speaks."""

    def __init__(self, stream: TextIO, names: Sequence[str], colour: bool) -> None:
        self._stream = stream
        self._width = max((len(name) for name in names), default=0)
        self._colours = {
            name: COLOURS[at % len(COLOURS)] if colour else None for at, name in enumerate(names)
        }

    def __call__(self, name: str, line: str) -> None:
        prefix = f"{name:<{self._width}} |"
        if colour := self._colours.get(name):
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        try:
            print(f"{prefix} {line}", file=self._stream, flush=True)
        except OSError:
            # the terminal is gone; SIGHUP ends us, and no part may hang for want of a reader
            return


def colourful(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")


def to_stderr(names: Sequence[str]) -> Talk:
    return Talk(sys.stderr, names, colourful(sys.stderr))


class LogFile:
    """All that one part says, without an end; on a full disk it is silently less."""

    def __init__(self, path: Path, largest: int = LARGEST) -> None:
        self.path = path
        self._largest = largest
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", errors="replace")

    def write(self, line: str) -> None:
        try:
            self._file.write(line + "\n")
            self._file.flush()
            if self._file.tell() > self._largest:
                self._turn()
        except OSError:
            return

    def _turn(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self.path.open("a", encoding="utf-8", errors="replace")

    def close(self) -> None:
        self._file.close()


class Lines:
    """Bytes in any pieces as lines of printable text; an overlong line is cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[str]:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > LONGEST:
            whole.append(self._rest)
            self._rest = b""
        return [readable(line) for line in whole]

    def flush(self) -> list[str]:
        rest, self._rest = self._rest, b""
        return [readable(rest)] if rest else []


def readable(line: bytes) -> str:
    """Control characters of a part must not reach a terminal."""
    text = line.decode("utf-8", "replace").replace("\t", " ")
    return "".join(filter(str.isprintable, text))[:LONGEST]
