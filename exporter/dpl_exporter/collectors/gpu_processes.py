"""Whose the processes on a GPU are: the model server's, or somebody else's."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import psutil

from dpl_exporter.collectors.llm_process import NAMES

SERVERS = frozenset({name.lower() for names in NAMES.values() for name in names}) | {
    "ollama_llama_server", "lm studio helper", "llmster", "llama_cpp", "xllamacpp", "lmdeploy",
    "mlx_lm", "koboldcpp", "aphrodite", "tabbyapi", "exllamav2", "exllamav3", "trtllm-serve",
    "tensorrt_llm", "text_generation_server", "text-generation-launcher",
}  # fmt: skip
"""Names of programs and of Python packages, in lower case."""
FIRST = 4
"""Words of a command line that can name its program: `python3 -m vllm.entrypoints.openai…`."""
OTHER = "other"
LLM = "llm"


@dataclass(frozen=True, slots=True)
class OnGpu:
    """A process with a context on a card; bytes, None where the driver may not tell."""

    pid: int
    memory: int | None


def by_pid(lists: Iterable[Iterable[OnGpu]]) -> dict[int, int | None]:
    """A process that computes and draws stands in two lists, with the same memory in each."""
    found: dict[int, int | None] = {}
    for one in (one for each in lists for one in each):
        known = found.get(one.pid)
        found[one.pid] = one.memory if known is None else max(known, one.memory or 0)
    return found


def is_model_server(pid: int) -> bool | None:
    """It, or what started it, looks like a model server; None where we cannot see it at all
    (it has ended, or it lives in another container). Source: psutil.
    """
    try:
        process = psutil.Process(pid)
        line = [process, *process.parents()]
    except psutil.Error:
        return None
    return any(_looks_like_one(one) for one in line)


def _looks_like_one(process: psutil.Process) -> bool:
    try:
        return is_server_name(process.name(), process.cmdline()[:FIRST])
    except psutil.Error:  # another user's, on a Mac or on Windows
        return False


def is_server_name(name: str, words: Iterable[str]) -> bool:
    """By the process's name, or by a program, script or module among these words."""
    if name.lower() in SERVERS:
        return True
    files = (word.replace("\\", "/").rpartition("/")[2].lower() for word in words)
    return any(file in SERVERS or file.partition(".")[0] in SERVERS for file in files)


class Owners:
    """Remembers whose a process is: the look costs a millisecond. Not for two threads at once.

    `server` are the processes of our own model server, whatever they are called.
    """

    def __init__(
        self,
        server: Callable[[], frozenset[int]] = frozenset,
        look: Callable[[int], bool | None] = is_model_server,
    ) -> None:
        self._server = server
        self._look = look
        self._known: dict[int, bool] = {}
        self._asked: set[int] = set()

    def kinds(self, pids: Iterable[int]) -> dict[int, str] | None:
        """llm or other, by pid; None where one of them cannot be seen."""
        kinds = {}
        server = self._server()
        for pid in pids:
            is_llm = self._known.get(pid)
            if is_llm is None:
                is_llm = self._look(pid)
            if is_llm is None:
                return None
            self._known[pid] = is_llm
            self._asked.add(pid)
            kinds[pid] = LLM if is_llm or pid in server else OTHER
        return kinds

    def settle(self) -> None:
        """All cards were read: forget the processes that have gone, since their numbers come
        again."""
        self._known = {pid: self._known[pid] for pid in self._asked}
        self._asked.clear()


def foreign_memory(memory: Mapping[int, int | None], kinds: Mapping[int, str]) -> float | None:
    """Bytes of the others together; None where one is not told."""
    total = 0
    for pid, used in memory.items():
        if kinds[pid] == OTHER:
            if used is None:
                return None
            total += used
    return float(total)
