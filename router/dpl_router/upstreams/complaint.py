"""What a node says when it refuses or fails, made fit to be shown, and what its status means.

Every dialect refuses in the same way (design: reliability 4.5); only the shape of the JSON
differs, and all shapes seen on real servers are read here.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from dpl_router.errors import (
    DplError,
    RequestRefused,
    UpstreamBusy,
    UpstreamError,
    UpstreamRefused,
)
from dpl_router.loose_json import MALFORMED
from dpl_router.upstreams.base import Head

LONGEST = 200
"""Characters of a node's words that may reach a client or a log."""

THE_REQUESTS_OWN = frozenset({400, 413, 415, 422})
OUR_CREDENTIAL = frozenset({401, 403})
TOLD = (RequestRefused, UpstreamError)
"""What a decoder raises over what a node tells."""

SECRET = re.compile(
    r"(?i)\b(bearer|basic)\s+\S+"
    r"|\b(sk|pk|dpl|hf|gsk|xai)[-_][\w\-]{6,}"
    r"|\b(api[-_ ]?key|token|password|secret)\b[\"']?\s*[:=]\s*\S+"
    r"|(?<=://)[^\s/@]+(?=@)"
)


def sanitised(text: str) -> str:
    """One line of at most 200 printable characters, without what looks like a credential."""
    shown = "".join(char if char.isprintable() else " " for char in text[: LONGEST * 20])
    line = SECRET.sub("[redacted]", " ".join(shown.split()))
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def complaint(body: bytes) -> str:
    """The message inside an error body of any known shape; empty where there is none.

    `{"error": {"message"}}` (OpenAI, llama.cpp, vLLM), `{"error": "…"}` (Ollama, LM Studio,
    vLLM's 401), `{"detail"}` (FastAPI), `{"message"}` (old vLLM), `{"error_message"}`, or text.
    """
    try:
        said = msgspec.json.decode(body)
    except MALFORMED:
        text = body[: LONGEST * 8].decode(errors="replace")
        return "" if text.lstrip().startswith("<") else sanitised(text)
    return sanitised(next(_messages(said), ""))


def _messages(said: Any) -> Iterator[str]:
    if isinstance(said, str):
        yield from _inner(said)
    elif isinstance(said, list):
        for part in said[:1]:
            yield from _messages(part)
    elif isinstance(said, dict):
        for key in ("error", "message", "error_message", "detail", "msg", "error_type"):
            yield from _messages(said.get(key))


def _inner(said: str) -> Iterator[str]:
    """Ollama puts the JSON of its runner inside its own message (recordings fact 17)."""
    _, brace, rest = said.partition("{")
    if brace and said.endswith("}"):
        with suppress(*MALFORMED):  # it may only look so
            yield from _messages(msgspec.json.decode(brace + rest))
    yield said


def refusal(head: Head, body: bytes, now: float) -> DplError:
    """What an error status means; `now` is seconds since the epoch, for Retry-After as a date.

    RequestRefused: the request's own fault, keeps the node's status. UpstreamRefused (of a 429
    UpstreamBusy): another node may do better.
    """
    status = head.status
    if status in OUR_CREDENTIAL:
        # What it says there may hold the key that it refused.
        return UpstreamRefused(f"the node refused our credential ({status})", status)
    said = complaint(body)
    if status in THE_REQUESTS_OWN:
        return RequestRefused(said or f"the node refused the request ({status})", status)
    message = f"the node answered {status}" + (f": {said}" if said else "")
    kind = UpstreamBusy if status == UpstreamBusy.status else UpstreamRefused
    return kind(message, status, retry_after(head.headers, now))


def told_inside(message: str, payload: bytes) -> RequestRefused | UpstreamRefused:
    """What an error means that came with status 200. `message`: ours, for whoever runs the node.

    vLLM and SGLang have begun their stream when they look at the request.
    """
    status = inner_status(payload)
    if status in THE_REQUESTS_OWN:
        return RequestRefused(complaint(payload) or message, status)
    kind = UpstreamBusy if status == UpstreamBusy.status else UpstreamRefused
    return kind(message, status)


def inner_status(payload: bytes) -> int:
    """Some servers tell the real status inside the error, or beside it; 200 where none is told."""
    try:
        said = msgspec.json.decode(payload)
    except MALFORMED:
        return 200
    for place in (said.get("error"), said) if isinstance(said, dict) else ():
        for key in ("status_code", "code"):
            status = place.get(key) if isinstance(place, dict) else None
            if isinstance(status, int) and 400 <= status <= 599:
                return status
    return 200


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to leave the node alone, at least 0; None where it did not say or not clearly."""
    said = headers.get("retry-after", "").strip()
    if not said:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
