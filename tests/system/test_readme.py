"""README is true: what it tells people to type works, and what it shows is what they see."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.clients import python_of
from tests.system.running import ROOT, Stack, dpl_up

pytestmark = pytest.mark.system

README = (ROOT / "README.md").read_text(encoding="utf-8")
WRITTEN = "127.0.0.1:8000"
BY_HAND = {"make up"}
"""Proven by whoever runs it: this test runs what it starts."""


def blocks(language: str) -> list[str]:
    """The fenced blocks of README in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """One by one; a command goes on while a quote is open."""
    found: list[str] = []
    for block in blocks("sh"):
        open_line = ""
        for line in block.splitlines():
            open_line = f"{open_line}\n{line}" if open_line else line
            if open_line.count("'") % 2 == 0 and open_line.count('"') % 2 == 0:
                found.append(open_line)
                open_line = ""
        assert not open_line, f"a quote stays open: {open_line}"
    return [command for command in found if command not in BY_HAND]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with dpl_up(tmp_path_factory.mktemp("readme"), "--demo", "--demo-nodes", "2") as running:
        yield running


@pytest.fixture(scope="module")
def checkout(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the reader's: `.venv`, `.dpl`, `nodes.yaml`."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".dpl").symlink_to(stack.data_dir)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    shutil.copy(ROOT / "nodes.yaml", folder)
    return folder


def test_every_command_of_readme_works_in_its_order(stack: Stack, checkout: Path) -> None:
    address = stack.url.removeprefix("http://")
    outputs = {}
    for command in commands():
        done = subprocess.run(
            ["/bin/sh", "-c", command.replace(WRITTEN, address)],
            cwd=checkout,
            env={"PATH": "/usr/bin:/bin", "DPL_URL": stack.url},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        outputs[command.split()[0]] = done.stdout

    assert len(outputs) > 1
    assert "x-dpl-node: demo-" in outputs["curl"]
    assert "data: [DONE]" in outputs["curl"]
    assert set(outputs["for"].split()) == {"demo-1", "demo-2"}


@pytest.mark.parametrize("snippet", blocks("python"))
def test_every_python_snippet_of_readme_answers(snippet: str, stack: Stack) -> None:
    there = snippet.replace(WRITTEN, stack.url.removeprefix("http://"))
    done = subprocess.run(
        [python_of("sdks"), "-W", "error", "-c", there],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_table_in_readme_is_the_one_that_up_prints(stack: Stack) -> None:
    shown = next(block for block in blocks("console") if "chat page" in block)
    rows = [re.split(r"  +", line.strip())[0] for line in shown.splitlines()]

    assert [stack.address(row) for row in rows]


def test_every_file_that_readme_points_to_is_there() -> None:
    missing = [
        target for target in re.findall(r"\]\(([^)#:]+)\)", README) if not (ROOT / target).exists()
    ]

    assert missing == []
