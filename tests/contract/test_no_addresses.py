"""Promise 9: no address of a package index and no path of a machine, anywhere in the tree."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# In pieces, so that this file does not hold what it looks for.
INDEX = re.compile(
    "|".join(
        [
            "pypi" + r"\.(org|python)",
            "python" + "hosted",
            "npm" + r"js\.(org|com)",
            "index" + r"[-_]url\s*[=:\s]\s*\S",
            "find" + r"[-_]links\s*[=:\s]\s*\S",
            "deb" + r"\.debian\.org",
            "(archive|ports|security)" + r"\.ubuntu\.com",
            r"https?://\S+/(simple|artifact" + "ory|nex" + r"us)/",
        ]
    )
)
MACHINE = re.compile("|".join(["/wo" + "rk/", "/ro" + "ot/", "/ho" + r"me/\w", "/Us" + r"ers/\w"]))
# What servers of other people answered, byte for byte: their paths are theirs.
RECORDED = ("tests/recordings/", "tests/data/")


def files() -> dict[str, str]:
    """Name -> text of all that is or would be committed; bytes that are no text are left out."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        timeout=30,
        check=True,
    ).stdout
    found = {}
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if path.is_file():  # a deleted file stays in the list until it is committed
            text = path.read_bytes()
            if b"\0" not in text[:8192]:
                found[name] = text.decode("utf-8", errors="replace")
    return found


def lines_with(pattern: re.Pattern[str], name: str, text: str) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_index() -> None:
    tree = files()
    found = [line for name, text in tree.items() for line in lines_with(INDEX, name, text)]

    assert "pyproject.toml" in tree
    assert found == []


def test_no_file_names_a_path_of_a_machine() -> None:
    found = [
        line
        for name, text in files().items()
        if not name.startswith(RECORDED)
        for line in lines_with(MACHINE, name, text)
    ]

    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "--index" + "-url https://example.org/simple",
        "see https://" + "pypi" + ".org/project/dpl",
        "https://mirror.example.org/nex" + "us/repository",
        "https://files.python" + "hosted.org/x.whl",
    ],
)
def test_an_address_would_be_found(line: str) -> None:
    assert INDEX.search(line)


@pytest.mark.parametrize("line", ["cd /ho" + "me/anna/dpl", '"/ro' + 'ot/.cache"'])
def test_a_path_would_be_found(line: str) -> None:
    assert MACHINE.search(line)
