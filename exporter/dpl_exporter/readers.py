"""Texts of settings as values. Every function raises ValueError with what would be right."""

import os
import re
from difflib import get_close_matches
from pathlib import Path

from dpl_exporter.slots import MOST

LLM_KINDS = ("auto", "ollama", "openai", "llamacpp", "vllm", "sglang", "lmstudio")
"""auto, and the kinds of `BACKENDS`, whose module these settings may not import."""


def read_kind(text: str) -> str | None:
    kind = text.lower()
    if kind not in LLM_KINDS:
        near = get_close_matches(kind, LLM_KINDS, 1)
        hint = f"did you mean {near[0]}?" if near else "one of: " + ", ".join(LLM_KINDS)
        raise ValueError(f"is no kind of LLM server that we know; {hint}")
    return None if kind == "auto" else kind


def read_compat(text: str) -> str:
    if text != "node_exporter":
        raise ValueError("is no program whose words we know; write node_exporter")
    return text


def read_slots(text: str) -> int | None:
    if text.lower() == "auto":
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MOST:
        raise ValueError(f"is not a whole number from 1 to {MOST}, nor auto")
    return int(text)


def read_file(text: str) -> Path:
    path = Path(text).expanduser()
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def read_paths(text: str) -> tuple[Path, ...]:
    paths = tuple(Path(one).expanduser() for one in text.split(os.pathsep) if one)
    for path in paths:
        if not path.is_absolute():
            raise ValueError(f"holds {str(path)!r}, which is not an absolute path")
    return paths


def read_pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None


def read_switch(text: str) -> bool:
    word = text.lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError("is neither 1 nor 0")
