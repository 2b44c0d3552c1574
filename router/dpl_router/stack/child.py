"""One part of the stack: a program that is started, watched until ready, restarted, stopped."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from dpl_router.control import Control
from dpl_router.errors import DplError
from dpl_router.stack.lifeline import tied
from dpl_router.stack.logs import LastWords, Lines, LogFile, Speak, Wanted, everything

LOOK = 0.05
"""Seconds between two looks whether a part is ready."""
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Back-off before a restart, in seconds: doubled each time."""
SETTLED = 20.0
"""Seconds of life after which the next death is waited for like the first."""


@dataclass(frozen=True, slots=True)
class Part:
    """`ready` is a URL that answers 200 once the part can be used."""

    name: str
    command: tuple[str, ...]
    ready: str
    patience: float = 60.0
    """Seconds within which it must be ready."""
    grace: float = 3.0
    """Seconds that a drain (SIGTERM) may take."""
    shown: Wanted = everything
    """Which of its lines people see; the file gets all."""


class PartFailed(DplError):
    """A part ended, or was not ready in time; the message holds its last words."""

    code = "part_failed"


class Child:
    """Keeps one part alive. `start` and `stop` are never called at the same time."""

    def __init__(
        self, part: Part, log: LogFile, talk: Speak, environment: Mapping[str, str]
    ) -> None:
        self.part = part
        self.state = "stopped"
        self.restarts = 0
        self.process: asyncio.subprocess.Process | None = None
        self._log = log
        self._talk = talk
        self._environment = environment
        self._ready = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._last = LastWords()
        self._hushed = False

    @property
    def pid(self) -> int | None:
        alive = self.process is not None and self.process.returncode is None
        return self.process.pid if alive and self.process else None

    async def start(self) -> None:
        """Until it is ready. Raises: PartFailed, and nothing of it runs then."""
        if self._life is not None and not self._life.done():
            return
        self._last = LastWords()
        self._life = asyncio.create_task(self._keep(), name=self.part.name)
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait(
                {ready, self._life},
                timeout=self.part.patience,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            ready.cancel()
        if not self._ready.is_set():
            ended = self._life.done()
            await self.stop(signal.SIGKILL, 0.0)
            self.state = "failed"
            raise PartFailed(self._failure(ended))

    def _failure(self, ended: bool) -> str:
        what = "ended at once" if ended else f"was not ready within {self.part.patience:g} s"
        words = str(self._last)[:400] or "it said nothing"
        return f"{self.part.name} {what}: {words} (its log: {self._log.path})"

    async def stop(self, how: signal.Signals, grace: float) -> None:
        """Gone when this returns: after `grace` seconds it is killed."""
        if self._life is None:
            self.state = "stopped"
            return
        self.state = "stopping"
        self._signal(how)
        if self.process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), grace)
            self._signal(signal.SIGKILL)
            await self.process.wait()
        self._life.cancel()
        await asyncio.wait({self._life})
        self._life = None
        self.state = "stopped"

    def hush(self) -> None:
        """The stack ends: what a chatty part then warns of is that the others are gone."""
        self._hushed = self.part.shown is not everything

    def _signal(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(how)

    async def _keep(self) -> None:
        """Life after life; the first must reach readiness, or there is no second."""
        wait = FIRST_WAIT
        ever_ready = False
        while True:
            began = asyncio.get_running_loop().time()
            ever_ready = await self._live() or ever_ready
            if self.state == "stopping" or not ever_ready:
                return
            if asyncio.get_running_loop().time() - began > SETTLED:
                wait = FIRST_WAIT
            self.state = "waiting"
            self._talk(self.part.name, f"{self._end()}; starting it again in {wait:g} s")
            await asyncio.sleep(wait)
            wait = min(LONGEST_WAIT, wait * 2)
            self.restarts += 1

    def _end(self) -> str:
        if self.process is None:
            return str(self._last)
        code = self.process.returncode
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:  # most real-time signals have no name
            return f"ended by signal {-code}"

    async def _live(self) -> bool:
        """One process from start to end; was it ever ready?"""
        self.state = "starting"
        self.process = None
        try:
            process = self.process = await asyncio.create_subprocess_exec(
                *tied(self.part.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C on the terminal is for the supervisor alone
                env=self._environment,
            )
        except OSError as error:  # processes, memory or files may be short for a while
            self._last.hear(f"cannot be started: {error.strerror}")
            return False
        watch = asyncio.create_task(self._watch())
        listen = asyncio.create_task(self._listen(process))
        try:
            await process.wait()
            await asyncio.wait({listen}, timeout=1.0)
            return self._ready.is_set()
        finally:
            self._signal(signal.SIGKILL)
            watch.cancel()
            listen.cancel()
            self._ready.clear()

    async def _watch(self) -> None:
        address = urlsplit(self.part.ready)
        control = Control(f"{address.scheme}://{address.netloc}", verify=False)
        try:
            while not await answers(control, address.path):  # noqa: ASYNC110 - not our event
                await asyncio.sleep(LOOK)
        finally:
            await control.close()
        self.state = "ready"
        self._ready.set()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        lines = Lines()
        while piece := await process.stdout.read(65536):
            self._hear(lines.feed(piece))
        self._hear(lines.flush())

    def _hear(self, lines: list[str]) -> None:
        for line in lines:
            self._log.write(line)
            self._last.hear(line)
            if self.part.shown(line) and not self._hushed:
                self._talk(self.part.name, line)


async def answers(control: Control, path: str) -> bool:
    try:
        return (await control.get(path, seconds=1.0)).status == 200
    except DplError:
        return False


OURS = ("DPL_LISTEN", "DPL_LLM_URL", "DPL_SLOTS", "DPL_DATA_DIR", "DPL_KEYS_FILE",
        "DPL_NODES_FILE", "DPL_PROMETHEUS_URL", "DPL_ALERTMANAGER_URL", "DPL_INSECURE_OPEN",
        "PROMETHEUS_URL", "OLLAMA_HOST", "OLLAMA_MODEL", "PORT")  # fmt: skip
"""Settings that children get as flags: two exporters cannot share one environment."""


def environment_of_children() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OURS}
