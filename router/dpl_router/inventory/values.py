"""Values that are written in one way and used in another: durations, secrets, files."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST = 7 * 86400.0
MAX_SECRET = 64 * 1024
DIGITS = 12
"""Of a digest: what `dpl_llm_model_info` has in its label `weights`."""


class BadValue(ValueError):
    """`hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def seconds(value: float | str, at_most: float = LONGEST) -> float:
    """`500ms`, `30s`, `5m`, `1h`, or a number of seconds. Raises: BadValue."""
    if isinstance(value, str):
        # stripped: a line break at its end passes the schema's `$`, and is told as such already
        parts = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value.strip())
        if parts is None:
            raise BadValue("is no time", "write it as 500ms, 30s, 5m or 1h")
        value = float(parts[1]) * SECONDS[parts[2]]
    if not math.isfinite(value) or not 0.001 <= value <= at_most:
        raise BadValue("is no usable time", f"write 1ms to {at_most:g}s")
    return float(value)


def secret(reference: str, environ: Mapping[str, str], find: Callable[[str], Path]) -> str:
    """What `${ENV}` or `file:PATH` stands for, without blanks around it. `find` gives a path for
    what is written; it raises BadValue.

    Raises: BadValue, which never holds the secret.
    """
    text = referenced(reference, environ)
    if text is None:
        text = _file_text(find(reference.removeprefix("file:")))
    text = text.strip()
    if not text:
        raise BadValue(f"{reference} is empty")
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise BadValue(f"{reference} holds a blank, a line break or a letter beyond ASCII")
    return text


def first_digits(digest: str) -> str:
    """Of a sha256 of weights, as exporters tell it."""
    return digest.lower().removeprefix("sha256").lstrip(":-")[:DIGITS]


def referenced(reference: str, environ: Mapping[str, str]) -> str | None:
    """The value of `${ENV}`; None where `reference` is of another form. Raises: BadValue."""
    if not reference.startswith("${"):
        return None
    name = reference[2:-1]
    if name not in environ:
        raise BadValue(
            f"the environment variable {name} is not set", f"export {name}, or use file:PATH"
        )
    return environ[name]


def _file_text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_SECRET).decode("ascii", "replace")
