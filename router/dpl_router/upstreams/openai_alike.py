"""Runs of events that differ in their text only, recognised without parsing each.

A stream is hundreds of events that are the same but for a few characters. Once one was parsed and
passed on as it came, those that follow are known by what stands before and behind their text.
"""

import re

import msgspec

from dpl_router.loose_json import MALFORMED
from dpl_router.upstreams.openai_chunks import (
    CHUNK,
    Chunk,
)

CONTENT = re.compile(rb'"content":\s*"((?:[^"\\]|\\.)*+)"')
TEXT = re.compile(rb'[^"\\\x00-\x1f]*+(?:\\["\\/bfnrt][^"\\\x00-\x1f]*+)*+')
"""The inside of a JSON string. `\\u` is left to the parser: it may be half an emoji."""
PROBE = b"@"
_string = msgspec.json.Decoder(str).decode


Run = tuple[str, int, int]
"""Text, events, and bytes from the start of the data."""


class Alike:
    """The bytes that alike events share, before and behind the inside of their text."""

    def __init__(self, before: bytes, behind: bytes) -> None:
        self._head = b"data: " + before
        self._tail = behind + b"\n\n"
        self._between = self._tail + self._head
        self._begin, self._behind = len(self._head), len(self._tail)

    def run(self, data: bytes) -> Run | None:
        """The alike events at the start of `data`; None where there are none."""
        end = data.rfind(self._tail)
        if end < self._begin or not data.startswith(self._head):
            return None
        inside, size = data[self._begin : end], end + self._behind
        text = inside.decode() if inside.isascii() else "\n"
        if text.isprintable() and '"' not in text and "\\" not in text:  # nearly always
            return text, 1, size
        if TEXT.fullmatch(inside) is not None:
            return (_string(b'"' + inside + b'"'), 1, size) if sound(inside) else None
        # By the end of an event, then looked at whole: `split` studies a long separator, such as
        # what stands between two texts, anew at every place.
        events = data[: size - 2].split(b"\n\n")
        texts = [event[self._begin : 2 - self._behind] for event in events]
        if self._between.join(texts) != inside:
            return None
        # Apart, so that no two halves of a character or an escape become a whole one.
        apart = b" ".join(texts)
        if TEXT.fullmatch(apart) is None or not sound(apart):
            return None
        return _string(b'"' + b"".join(texts) + b'"'), len(texts), size


def learn(payload: bytes, chunk: Chunk) -> Alike | None:
    """What `payload` shares with its like; None where it says more than a piece of text."""
    text = bare_text(chunk)
    found = CONTENT.search(payload)
    if text is None or found is None:
        return None
    before, behind = payload[: found.start(1)], payload[found.end(1) :]
    try:
        probe = CHUNK.decode(before + found[1] + PROBE + behind)
    except MALFORMED:
        return None
    # Elsewhere in the event something else may have this name.
    return Alike(before, behind) if bare_text(probe) == text + PROBE.decode() else None


def bare_text(chunk: Chunk) -> str | None:
    """The text of a chunk that says nothing else of what we read."""
    choices = chunk.choices or ()
    if len(choices) != 1 or chunk.usage is not None or chunk.timings is not None:
        return None
    [part] = choices
    delta = part.delta
    if delta is None or part.index or part.finish_reason is not None or delta.role is not None:
        return None
    if part.logprobs is not None or delta.tool_calls or delta.reasoning or delta.reasoning_content:
        return None
    return delta.content if isinstance(delta.content, str) else None


def sound(data: bytes) -> bool:
    """It is UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
