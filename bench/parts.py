"""The programs of the benchmark: our two in C, compiled now, and nginx to compare with."""

import shutil
import subprocess
from pathlib import Path

from dpl_router.stack.programs import PartMissing, must, room_in

SOURCES = Path(__file__).parent
WARNINGS = ("-Wall", "-Wextra", "-Wno-unused-function")


def compiled(name: str, folder: Path) -> Path:
    """`name`.c as a program in `folder`. Raises: PartMissing."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise PartMissing(
            "the benchmark's upstream and clients are C and there is no compiler; install one: "
            "sudo apt-get install gcc libc6-dev (Fedora: dnf install gcc)"
        )
    program = folder / name
    source = str(SOURCES / f"{name}.c")
    must([compiler, "-O2", *WARNINGS, "-o", str(program), source], f"{name}.c does not compile")
    return program


def nginx(parts: Path) -> Path:
    """From PATH or its usual folder, else Debian's package unpacked in `parts`.

    Raises: PartMissing.
    """
    ours = parts / "nginx/usr/sbin/nginx"
    for known in (shutil.which("nginx"), "/usr/sbin/nginx", ours):
        if known and Path(known).is_file():
            return Path(known)
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise PartMissing("nginx, what we compare with, is missing; install it: dnf install nginx")
    print("fetching nginx (apt-get download, once)", flush=True)
    with room_in(parts) as folder:
        must(["apt-get", "download", "-qq", "nginx"], f"{BY_HAND}; apt-get says", folder)
        [package] = folder.glob("*.deb")
        must(["dpkg", "-x", str(package), str(parts / "nginx")], "dpkg cannot unpack nginx")
    if subprocess.run([ours, "-v"], capture_output=True, check=False).returncode:
        raise PartMissing(f"the unpacked nginx does not run here; {BY_HAND}")
    return ours


BY_HAND = "nginx, what we compare with, is missing; install it: sudo apt-get install nginx"
