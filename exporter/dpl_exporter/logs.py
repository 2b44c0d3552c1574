"""Log lines in the router's form: `at=2026-11-25T20:39:02.603Z level=info event="keys file taken"`.

A message is an event, and after it `key=value` pairs; a value with blanks stands in quotes. Who
logs writes the message as `"collector failed name=%s reason=%s"` and quotes by `quoted`.
"""

import json
import logging
import re
import time

BARE = re.compile(r"[^\s\"=\\\x00-\x1f\x7f]+")
PAIRS = re.compile(r" (?=[a-z_]+=)")


class Logfmt(logging.Formatter):
    """One line for each record, a traceback included. Time is UTC."""

    def format(self, record: logging.LogRecord) -> str:
        event, *pairs = PAIRS.split(record.getMessage(), maxsplit=1)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = f"at={moment}.{int(record.msecs):03}Z level={record.levelname.lower()}"
        words = [head, f"event={quoted(event)}", *pairs]
        if record.exc_info:
            words.append(f"exception={quoted(self.formatException(record.exc_info))}")
        return " ".join(words).replace("\r", "\\r").replace("\n", "\\n")


def quoted(value: object) -> str:
    """A value as it stands after `key=`."""
    text = str(value)
    return text if BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
