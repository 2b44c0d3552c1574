"""The command itself: help, versions, and every mistake in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dpl_router import __version__
from tests.router.cli.conftest import Run

HEAVY = ("litestar", "httpx", "msgspec", "httptools", "prometheus_client", "asyncio")


@pytest.mark.parametrize("arguments", [("--help",), ("-h",)])
def test_help_lists_the_verbs(dpl: Run, arguments: tuple[str, ...]) -> None:
    done = dpl(*arguments)

    assert done.returncode == 0
    for verb in ("up", "stack", "serve", "get", "ask", "config", "sd", "key", "version"):
        assert f" {verb} " in done.stdout


def test_without_a_verb_the_help_is_shown(dpl: Run) -> None:
    done = dpl()

    assert done.returncode == 2
    assert "Usage: dpl" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("--version",), ("version",)])
def test_the_version_is_data(dpl: Run, arguments: tuple[str, ...]) -> None:
    assert dpl(*arguments).stdout == f"dpl {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    """Else `dpl --help` takes a second; the promise is 150 ms."""
    program = (
        "import sys; from dpl_router.__main__ import run; run(['--help']);"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--nonsense",), 2, "see `dpl --help`"),
        (("serf",), 2, "No such command 'serf'"),
        (("serve", "--lisen", "x"), 2, "see `dpl serve --help`"),
        (("serve", "--listen", "nowhere"), 2, "write HOST:PORT, as 127.0.0.1:8000"),
        (("serve", "--listen", "0.0.0.0:8000"), 2, "dpl key new"),
        (("serve", "--api-key-file", "no-such-file"), 2, "no-such-file cannot be read"),
        (("serve", "--api-key-file", os.devnull), 2, "must be one key"),
        (("ask", "auto"), 2, "Missing argument 'QUESTION'"),
        (("get", "nodes", "-o", "xml"), 2, "is not one of"),
        (("get", "nodes", "--url", "127.0.0.1:8000"), 2, "write http://127.0.0.1:8000"),
        (("get", "nodes", "--url", "http://127.0.0.1:x"), 2, "is no address"),
        (("get", "nodes", "--url", "http://127.0.0.1:1"), 1, "start one with `dpl up`"),
        (("ask", "auto", "hi", "--url", "http://127.0.0.1:1"), 1, "start one with `dpl up`"),
        (("up", "--demo-nodes", "0"), 2, "see `dpl up --help`"),
        (("up", "--listen", "0.0.0.0:8000", "--demo"), 2, "--insecure-open"),
        (("up", "--listen", "x", "--demo"), 2, "write HOST:PORT"),
        (("stack", "stop"), 2, "Missing argument 'NAME'"),
        (("stack", "status", "--data-dir", "no-such-folder"), 1, "start one with `dpl up`"),
    ],
)
def test_a_mistake_is_one_line_with_the_next_step(
    dpl: Run,
    arguments: tuple[str, ...],
    code: int,
    said: str,
    tmp_path: Path,
) -> None:
    if arguments[0] == "up":
        arguments = (*arguments, "--data-dir", str(tmp_path / "data"))

    done = dpl(*arguments)

    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("dpl: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_data_folder_that_cannot_be_made_is_told(dpl: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = dpl("up", "--demo", "--data-dir", str(tmp_path / "file/data"))

    assert done.returncode == 2
    assert "--data-dir" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_early_is_no_error() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m dpl_router --help | true"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "Traceback" not in done.stderr
