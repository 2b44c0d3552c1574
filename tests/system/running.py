"""A running `dpl up` and how tests look at it from outside."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

import httpx

ROOT = Path(__file__).parents[2]
PARTS = Path(os.environ.get("DPL_PARTS_DIR", ROOT / ".parts"))
MODEL = "smollm2:135m"
TURN = 600.0
"""Seconds until the stack of another worker's tests is ready, or whole again."""
START = 120.0
"""Seconds until the table must be there; programs and weights have been fetched."""

Seen = TypeVar("Seen")


class Stack:
    """One `dpl up`: what it printed, its addresses, its orders."""

    def __init__(self, data_dir: Path, process: subprocess.Popen[str]) -> None:
        self.data_dir = data_dir
        self.process = process
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def curl(self) -> str:
        """The line that people are told to paste."""
        found = re.search(r"^  (curl .*)$", self.text, re.MULTILINE)
        assert found, self.text
        return found[1]

    @property
    def ready(self) -> bool:
        """The curl line is printed after the table."""
        return " ask " in self.text

    def address(self, row: str) -> str:
        found = re.search(rf"^  {row} +(\S+)", self.text, re.MULTILINE)
        assert found, self.text
        return found[1]

    @property
    def url(self) -> str:
        return self.address("overview")

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, timeout=10)

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Prometheus's own answer, not the router's."""
        url = self.address("Prometheus") + "/api/v1/query"
        answer = httpx.get(url, params={"query": promql}, timeout=10).json()
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def mode(self) -> str:
        metrics = self.get("/metrics").text
        found = re.search(r'^dpl_router_scheduling_mode\{.*="(\w+)"\} 1', metrics, re.MULTILINE)
        assert found, metrics
        return found[1]

    def chat(self, **fields: Any) -> httpx.Response:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}]}
        return httpx.post(
            self.url + "/v1/chat/completions", json={**body, "max_tokens": 16, **fields}, timeout=60
        )

    def dpl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dpl_router", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "DPL_URL": self.url},
        )

    def order(self, what: str, part: str) -> None:
        done = self.dpl("stack", what, part, "--data-dir", str(self.data_dir))
        assert done.returncode == 0, done.stderr

    @contextmanager
    def without(self, part: str) -> Iterator[None]:
        with the_only_one():
            self.order("stop", part)
            try:
                yield
            finally:
                self.order("start", part)

    def processes(self) -> dict[str, int]:
        """Part -> process id, as `dpl stack status` lists those that live."""
        listed = self.dpl("stack", "status", "--data-dir", str(self.data_dir))
        rows = [line.split() for line in listed.stdout.splitlines()[1:]]
        return {row[0]: int(row[2]) for row in rows if row[2] != "-"}

    def end(self, how: signal.Signals, seconds: float) -> int:
        self.process.send_signal(how)
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def the_only_one() -> Iterator[None]:
    """No stack starts on this machine meanwhile: it would take the ports of another one that
    starts, or of a part that was stopped on purpose."""
    with (Path(tempfile.gettempdir()) / "dpl-up.lock").open("w") as file:
        eventually(lambda: locked(file), TURN)
        yield


def locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def dpl_up(data_dir: Path, *flags: str) -> Iterator[Stack]:
    """Ready when it is handed out; ended afterwards."""
    where = ("--data-dir", str(data_dir), "--parts-dir", str(PARTS))
    with ExitStack() as held:
        with the_only_one():
            process = subprocess.Popen(
                [sys.executable, "-m", "dpl_router", "up", *where, *flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            stack = Stack(data_dir, process)
            held.callback(stack.close)
            eventually(lambda: stack.ready or process.poll() is not None, START)
        assert stack.ready, stack.text
        yield stack


def eventually(look: Callable[[], Seen], seconds: float) -> Seen:
    """The first true thing that `look` sees. Fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {seconds:g} s; last seen: {seen!r}"
        time.sleep(0.1)
    return seen


def is_gone(pid: int) -> bool:
    """A zombie is gone: in a container nobody may collect orphans."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"
