"""Space on the filesystems that matter: the root, the model store, configured paths."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector, gauges, info
from dpl_exporter.errors import Failed

ROLES = ("models", "data", "root")
"""Strongest first: a filesystem that is several of them is told once."""
UNKNOWN = ("", "", None)
"""Device, type and whether it is read-only, where it is not among the mounts."""


@dataclass(frozen=True, slots=True)
class Filesystem:
    """Bytes and inodes; None where they cannot be read (`problem` says why), inodes also on Windows
    and where the filesystem has no such limit."""

    mountpoint: str
    device: str
    fstype: str
    role: str
    size: int | None = None
    available: int | None = None
    files: int | None = None
    files_free: int | None = None
    problem: str = ""
    used: int | None = None
    """`size - used` is more than `available` where a share is kept for root."""
    readonly: bool | None = None


def watched_paths(environment: Mapping[str, str], more: Sequence[Path]) -> list[tuple[str, Path]]:
    """(role, path). The model store is where OLLAMA_MODELS or HF_HOME point, else the usual."""
    home = Path(environment.get("HOME") or Path.home())
    stores = [
        Path(environment[name]) for name in ("OLLAMA_MODELS", "HF_HOME") if environment.get(name)
    ]
    usual = (
        home / ".ollama/models",
        Path("/usr/share/ollama/.ollama/models"),
        home / ".cache/huggingface",
    )
    found = stores or [path for path in usual if os.path.isdir(path)]  # False where not ours to see
    root = Path(home.anchor or "/")
    return [
        *(("models", path) for path in found),
        *(("data", path) for path in more),
        ("root", root),
    ]


def read_filesystems(paths: Sequence[tuple[str, Path]]) -> list[Filesystem]:
    """One that cannot be read (a stale network mount) has a `problem` and hides no other.

    Source: psutil.disk_usage, psutil.disk_partitions, os.statvfs.
    """
    mounts = psutil.disk_partitions(all=True)
    known = {one.mountpoint: (one.device, one.fstype, _is_readonly(one.opts)) for one in mounts}
    found: dict[str, Filesystem] = {}
    for role, path in sorted(paths, key=lambda one: ROLES.index(one[0])):
        mountpoint = str(path)
        try:
            mountpoint = mountpoint_of(path)
            if mountpoint not in found:
                found[mountpoint] = _read(role, mountpoint, *known.get(mountpoint, UNKNOWN))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            found[mountpoint] = Filesystem(mountpoint, "", "", role, problem=reason)
    return list(found.values())


def mountpoint_of(path: Path) -> str:
    """Where the filesystem of `path`, or of its nearest parent that we may see, is mounted.

    Raises: OSError where a filesystem on the way does not answer as it should.
    """
    place = Path(os.path.realpath(path))
    while not (_is_seen(place) and os.path.ismount(place)) and place != place.parent:
        place = place.parent
    return str(place)


def _is_seen(place: Path) -> bool:
    try:
        return place.exists()
    except PermissionError:
        return False


def _read(
    role: str, mountpoint: str, device: str, fstype: str, readonly: bool | None
) -> Filesystem:
    usage = psutil.disk_usage(mountpoint)
    files, files_free = _inodes(mountpoint)
    return Filesystem(
        mountpoint=mountpoint,
        device=device,
        fstype=fstype,
        role=role,
        size=usage.total,
        available=usage.free,
        files=files,
        files_free=files_free,
        used=usage.used,
        readonly=readonly,
    )


def _is_readonly(options: str) -> bool:
    return "ro" in options.split(",")


def _inodes(mountpoint: str) -> tuple[int | None, int | None]:
    if not hasattr(os, "statvfs"):
        return None, None
    stat = os.statvfs(mountpoint)
    return (stat.f_files, stat.f_favail) if stat.f_files else (None, None)


class FilesystemCollector(Collector):
    """dpl_node_filesystem_*{mountpoint}.

    Raises: Failed with the families of the others where one cannot be read.
    """

    name = "filesystem"

    def __init__(self, read: Callable[[], Sequence[Filesystem]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        found = self._read()
        families = tuple(self._families(found))
        problems = [f"{one.mountpoint}: {one.problem}" for one in found if one.problem]
        if problems:
            raise Failed("; ".join(problems), families)
        return families

    def _families(self, found: Sequence[Filesystem]) -> Iterable[Metric]:
        for name, text, pick in _GAUGES:
            values = {one.mountpoint: pick(one) for one in found}
            yield from gauges(f"dpl_node_filesystem_{name}", text, "mountpoint", values)
        yield from info(
            "dpl_node_filesystem",
            "Which filesystem it is; role models holds the model store.",
            [
                {
                    "mountpoint": one.mountpoint,
                    "device": one.device,
                    "fstype": one.fstype,
                    "role": one.role,
                }
                for one in found
            ],
        )


_GAUGES: tuple[tuple[str, str, Callable[[Filesystem], float | None]], ...] = (
    ("size_bytes", "Size.", lambda f: f.size),
    ("avail_bytes", "Space that ordinary users may still fill.", lambda f: f.available),
    ("files", "Inodes.", lambda f: f.files),
    ("files_free", "Free inodes.", lambda f: f.files_free),
)
