"""docs/clients.md is true: each snippet that can run here runs as pasted."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.clients import CLIENTS, ROOT, Environment
from tests.clients.page import PAGE, RUN, WHERE, WRITTEN, Snippet, runnable, snippets, variables
from tests.clients.stage import Stage

pytestmark = pytest.mark.system

CASES = [
    pytest.param(snippet, where, id=f"{snippet.heading}-{where or 'ours'}")
    for snippet, where in runnable()
]


@pytest.mark.parametrize(("snippet", "where"), CASES)
def test_a_snippet_answers_as_pasted(
    snippet: Snippet, where: Environment, stage: Stage, tmp_path: Path
) -> None:
    done = subprocess.run(
        snippet.command(where, stage.url),
        cwd=tmp_path,
        env=variables(where, tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert WRITTEN in snippet.code
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert "error" not in done.stdout


def test_every_client_that_is_tested_has_a_snippet() -> None:
    shown = {snippet.heading for snippet in snippets() if snippet.language in RUN}
    tested = {re.split(r"[ ,]", client.name)[0] for client in CLIENTS} - {"our"}

    assert shown == tested == set(WHERE)


def test_every_file_that_the_page_points_to_is_there() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"`(tests/\S+\.py)`", page)

    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []
