"""Machines to run a real exporter on: each is flags and variables, made from fakes at the wire."""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.amd import VEGA, add_card
from tests.fakes.linux import add_proc
from tests.fakes.mac import add_tools
from tests.fakes.nvml.gpus import H100_MIG, RTX_4090, FakeGpus

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Machine:
    """`shows`: what of a GPU comes on a later page only."""

    environ: Mapping[str, str]
    flags: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()


@contextmanager
def sleeper(folder: Path, name: str) -> Iterator[int]:
    """A process that is called so; its id."""
    sleep = shutil.which("sleep")
    assert sleep is not None
    program = folder / name
    program.symlink_to(sleep)
    process = subprocess.Popen([program, "60"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait(10)


def no_nvidia(folder: Path) -> Mapping[str, str]:
    """Also where this machine has one: the library finds no driver."""
    gpus = FakeGpus(folder)
    gpus.say({"init": "!9"})
    return gpus.environ


def folders(folder: Path) -> dict[str, str]:
    """Nothing of this machine's /sys and /proc: what is not put there is not there."""
    return {"DPL_SYSFS": str(folder / "sys"), "DPL_PROC": str(folder / "proc")}


@contextmanager
def linux_cpu(folder: Path) -> Iterator[Machine]:
    add_proc(folder)
    yield Machine({**no_nvidia(folder), **folders(folder)})


@contextmanager
def nvidia_2_cards(folder: Path) -> Iterator[Machine]:
    """The first serves a model while somebody plays on it; the second tells next to nothing."""
    with sleeper(folder, "ollama") as llm, sleeper(folder, "game") as game:
        processes = {"compute": f"{llm}:{8 * GIB}", "graphics": f"{game}:{2 * GIB}"}
        bare = {key: RTX_4090[key] for key in ("name", "memory", "rates", "power")}
        bare |= {"uuid": "GPU-11111111-2222-3333-4444-000000000001"}
        gpus = FakeGpus(folder, {**RTX_4090, **processes}, bare)
        gpus.raise_xid(1, card=0, xid=63)
        add_proc(folder)
        yield Machine({**gpus.environ, **folders(folder)}, ("--gpu-pcie-throughput",), ("xid",))


@contextmanager
def nvidia_mig(folder: Path) -> Iterator[Machine]:
    gpus = FakeGpus(folder, H100_MIG)
    add_proc(folder)
    yield Machine({**gpus.environ, **folders(folder)})


@contextmanager
def amd(folder: Path) -> Iterator[Machine]:
    add_card(folder / "sys", 0, {"vendor": "0x1a03"}, driver="ast")
    add_card(folder / "sys", 1, VEGA)
    add_proc(folder)
    yield Machine({**no_nvidia(folder), **folders(folder)})


@contextmanager
def apple(folder: Path) -> Iterator[Machine]:
    path = add_tools(folder, limit_mb=40960)
    environ = {**no_nvidia(folder), **folders(folder), "PATH": path}
    yield Machine(environ, ("--gpu-powermetrics",), ("power_watts",))


PLATFORMS: Mapping[str, Callable[[Path], AbstractContextManager[Machine]]] = {
    "linux-cpu": linux_cpu,
    "nvidia-2-cards": nvidia_2_cards,
    "nvidia-mig": nvidia_mig,
    "amd": amd,
    "apple": apple,
}
