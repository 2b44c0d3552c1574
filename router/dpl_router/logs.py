"""Log lines: one each, lower case, key=value, on stderr, without secrets."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRETS = (
    re.compile(r"(?i)(bearer\s+)\S+"),
    re.compile(r"(?i)(authorization['\":=\s]+)\S+"),
    re.compile(r"()\bdpl_[A-Za-z0-9_-]{20,}"),
    re.compile(r"(://)[^/@\s]+@"),
)
HIDDEN = r"\1***"


def configure() -> None:
    """For a process of ours, once, before anything else."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.LogfmtRenderer(
                key_order=["at", "level", "event"], drop_missing=True
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # These tell each request they make, or each file that changed.
    for chatty in ("httpx", "httpcore", "watchfiles"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Take keys, bearer tokens and the user part of addresses out of each text."""
    return {
        name: without_secrets(value) if isinstance(value, str) else value
        for name, value in event.items()
        if value is not None
    }


def without_secrets(text: str) -> str:
    for secret in SECRETS:
        text = secret.sub(HIDDEN, text)
    return text
