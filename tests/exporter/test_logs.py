"""Log lines: the router's form, one line each, whatever stands in them."""

import logging
import re
import sys
from pathlib import Path

import pytest

from dpl_exporter.logs import Logfmt, quoted
from tests.exporter.process import running

HEAD = (
    r"at=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(info|warning|error) event=(\"[^\"]+\"|\w+)"
)


def line_of(message: str, *values: object, failed: bool = False) -> str:
    info = sys.exc_info() if failed else None
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, message, values, info)
    record.created, record.msecs = 1_795_639_142.603, 603.0
    return Logfmt().format(record)


def test_a_line_is_time_level_event_and_pairs() -> None:
    assert line_of("nothing to collect collector=%s", "temperature") == (
        'at=2026-11-25T20:39:02.603Z level=info event="nothing to collect" collector=temperature'
    )
    assert line_of("begun").endswith(" event=begun")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/var/lib/x", "/var/lib/x"),
        ("two words", '"two words"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ('a"b', '"a\\"b"'),
        ("a\nb level=error", '"a\\nb level=error"'),
    ],
)
def test_a_value_that_would_read_as_more_is_quoted(value: str, shown: str) -> None:
    assert quoted(value) == shown
    assert line_of("x reason=%s", quoted(value)).endswith(f" event=x reason={shown}")


def test_a_traceback_is_on_the_same_line() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        line = line_of("request failed path=%s", "/x", failed=True)

    assert "\n" not in line
    assert 'path=/x exception="Traceback' in line


def test_all_that_a_process_logs_has_this_form(tmp_path: Path) -> None:
    with running(tmp_path, "--llm-url", "http://127.0.0.1:9") as exporter:
        exporter.call("POST", "/unlock", b'{"force": true}')
        exporter.metrics()
        exporter.process.terminate()
        _, err = exporter.process.communicate(timeout=20)

    assert 'event="leases released by force" count=0 owners=""' in err
    for line in err.splitlines():
        assert re.match(HEAD, line), line
