"""What tests want of Debian beside the stack: promtool and amtool of newer ones, and node_exporter.

`python -m tests.versions` fetches it, from the mirror that this machine's apt uses, and unpacks it
into the parts folder; nothing is installed. What cannot be had is told, and the tests say which
versions they ran with.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.programs import ROOT, find_program

SUITES = {"trixie": "Prometheus 2.53, Alertmanager 0.28", "sid": "Prometheus 3, Alertmanager 0.33"}
PACKAGES = ("promtool", "prometheus-alertmanager")
PROGRAMS = ("promtool", "amtool")
NODE_EXPORTER = "prometheus-node-exporter"
SOURCES = Path("/etc/apt")
PATIENCE = 300.0


class CannotBeHad(Exception):
    """Why, in a line."""


@dataclass(frozen=True, slots=True)
class Version:
    """`name` is a suite of Debian, or `ours`."""

    name: str
    promtool: str
    amtool: str


def present() -> list[Version]:
    """Ours always; raises nothing where a program is missing: the test that needs it says so."""
    folders = {name: folder_of(name) for name in SUITES}
    newer = [
        Version(name, str(folder / "promtool"), str(folder / "amtool"))
        for name, folder in folders.items()
        if all((folder / program).is_file() for program in PROGRAMS)
    ]
    return [Version("ours", "", ""), *newer]


def program(version: Version, name: str) -> str:
    """Raises: FileNotFoundError."""
    return (version.promtool if name == "promtool" else version.amtool) or find_program(name)


def parts() -> Path:
    return Path(os.environ.get("DPL_PARTS_DIR", ROOT / ".parts"))


def folder_of(suite: str) -> Path:
    return parts() / "versions" / suite


def fetch(suite: str) -> None:
    """Whole or not at all. Raises: CannotBeHad."""
    with unpacked(suite, *PACKAGES) as root:
        folder_of(suite).mkdir(parents=True, exist_ok=True)
        for each in PROGRAMS:
            shutil.copy2(root / "usr/bin" / each, folder_of(suite) / each)


def fetch_node_exporter() -> None:
    """Where it is missing, of any Debian: its names have been the same for years.

    Raises: CannotBeHad.
    """
    with suppress(FileNotFoundError):
        find_program("node_exporter")
        return
    target = parts() / "usr/bin"
    with unpacked(next(iter(SUITES)), NODE_EXPORTER) as root:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / "usr/bin" / NODE_EXPORTER, target / NODE_EXPORTER)


@contextmanager
def unpacked(suite: str, *packages: str) -> Iterator[Path]:
    """Where they lie, as from /. Raises: CannotBeHad."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        work.chmod(0o755)  # apt downloads as a user of its own
        (work / "sources").mkdir()
        (work / "sources" / "newer.list").write_text(source(suite), encoding="utf-8")
        for folder in ("lists/partial", "cache/archives/partial"):
            (work / folder).mkdir(parents=True)
        apt(work, "update")
        apt(work, "download", *packages)
        for package in work.glob("*.deb"):
            run(["dpkg", "-x", str(package), str(work / "root")], work)
        yield work / "root"


def source(suite: str) -> str:
    """A line for apt with the first mirror of this machine. Raises: CannotBeHad."""
    files = [*SOURCES.glob("sources.list.d/*.sources"), *SOURCES.glob("sources.list*")]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    for text in texts:
        mirror = re.search(r"^(?:URIs:|deb(?: \[.*\])?) *(\S+debian/?)\s", text, re.MULTILINE)
        if mirror:
            key = re.search(r"^Signed-By: *(/\S+)", text, re.MULTILINE)
            signed = f"[signed-by={key[1]}] " if key else ""
            return f"deb {signed}{mirror[1]} {suite} main\n"
    raise CannotBeHad("apt on this machine has no mirror of Debian")


def apt(work: Path, *words: str) -> None:
    places = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": work / "sources",
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work / "cache",
    }
    options = [word for name, value in places.items() for word in ("-o", f"{name}={value}")]
    run(["apt-get", "-qq", *options, *words], work)


def run(command: Sequence[str], folder: Path) -> None:
    """Raises: CannotBeHad."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBeHad(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        words = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise CannotBeHad(f"{command[0]}: {words[-1] if words else 'it says nothing'}")


def main() -> int:
    for suite, what in SUITES.items():
        if suite not in {version.name for version in present()}:
            try:
                fetch(suite)
            except CannotBeHad as error:
                print(f"not tried with {what} (Debian {suite}): {error}")
                continue
        print(f"also tried with {what} (Debian {suite})")
    try:
        fetch_node_exporter()
    except CannotBeHad as error:
        print(f"node_exporter cannot be had, and a test needs it on PATH: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
