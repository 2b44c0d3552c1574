"""One readable log."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.stack.logs import LONGEST, Lines, LogFile, Talk, warnings


@given(st.lists(st.binary(max_size=40)))
def test_lines_are_the_same_however_the_bytes_are_cut(pieces: list[bytes]) -> None:
    cut, whole = Lines(), Lines()

    in_pieces = [line for piece in pieces for line in cut.feed(piece)] + cut.flush()

    assert in_pieces == whole.feed(b"".join(pieces)) + whole.flush()


def test_a_line_without_an_end_is_cut() -> None:
    lines = Lines()

    (first,) = lines.feed(b"x" * (LONGEST + 1))

    assert first == "x" * LONGEST


def test_escape_sequences_of_a_part_do_not_reach_the_terminal() -> None:
    (line,) = Lines().feed(b"model \x1b[2Jevil\x07 \xff\n")

    assert line == "model [2Jevil \ufffd"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('ts=2026-11-25T20:00:00Z caller=main.go:1 level=info msg="Server is ready"', False),
        ('ts=2026-11-25T20:00:00Z caller=main.go:1 level=warn msg="slow"', True),
        ('time=2026-11-25T20:00:00Z level=ERROR source=main.go msg="bad"', True),
        ("0.04.329.701 I slot print_timing: id  3 | task 2 | prompt eval", False),
        ("0.04.329.701 W srv  stop: cancel task, id_task = 217", False),
        ("0.04.329.701 E srv  something: bad", True),
    ],
)
def test_chatty_parts_show_warnings_only(line: str, shown: bool) -> None:
    assert warnings(line) is shown


def test_each_line_names_its_part() -> None:
    stream = io.StringIO()
    talk = Talk(stream, ["llm", "router"], colour=False)

    talk("llm", "ready")
    talk("up", "draining")

    assert stream.getvalue() == "llm    | ready\nup     | draining\n"


def test_a_log_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log", largest=100)

    for number in range(50):
        log.write(f"line {number}")
    log.close()

    kept = (tmp_path / "part.log").read_text() + (tmp_path / "part.log.1").read_text()
    assert len(kept) < 250
    assert "line 49" in kept
