"""podman as these tests use it: with storage of its own, and without this user's settings.

What a plain `podman` would want to be told differs between machines: runc and cgroupfs run where
systemd does not, and limits that the kernel would refuse are named. Networks are the machine's.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fakes.programs import ROOT
from tests.versions import parts

PACKAGES = (
    "podman",
    "buildah",
    "podman-compose",
    "containernetworking-plugins",
    "golang-github-containernetworking-plugin-dnsname",
    "dnsmasq-base",
    "iptables",
    "runc",
    "debootstrap",
)
SETTINGS = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
"""
PATIENCE = 600.0


class CannotBeHad(Exception):
    """Why there is no podman here, in a line."""


def prepare() -> str:
    """A program that is podman with our settings. Root on Debian gets podman installed.

    Raises: CannotBeHad.
    """
    if not all(map(shutil.which, ("podman", "podman-compose", "debootstrap"))):
        install()
    home = parts() / "containers"
    home.mkdir(parents=True, exist_ok=True)
    settings, program = home / "containers.conf", home / "podman"
    settings.write_text(SETTINGS, encoding="utf-8")
    flags = f"--root {home.absolute()}/store --runroot /run/dpl-containers"
    program.write_text(
        f'#!/bin/sh\nexport CONTAINERS_CONF={settings.absolute()}\nexec podman {flags} "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return str(program)


def install() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise CannotBeHad(f"these packages of Debian are needed, and root: {' '.join(PACKAGES)}")
    print(f"installing with apt-get: {' '.join(PACKAGES)}", flush=True)
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES])


def run(
    command: Sequence[str],
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
) -> str:
    """What it printed. Fails with its last words."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        input=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise CannotBeHad(f"{' '.join(command)}: {(done.stderr + done.stdout)[-2000:]}")
    return done.stdout


def temporary() -> "tempfile.TemporaryDirectory[str]":
    """On the disk of the parts folder: a root file system may be too much for /tmp."""
    return tempfile.TemporaryDirectory(dir=parts() / "containers")
