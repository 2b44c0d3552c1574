"""Every parser and every recording rule over recordings of real programs: no exception, no absurd
value.

    make recordings RECORDINGS=folder

The folder is not in the tree: most of it is other people's data; what may lie in `tests/recordings`
is read by the tests with the same table. A parser takes its place in CHECKS: files, and what makes
families (collectors) or events (dialects) of one.
"""

import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.samples import Sample

from tests.exporter import recorded_gpus, recorded_llms
from tests.router import recorded_answers
from tests.system import recorded_rules

Parse = Callable[[Path], Iterable[object]]

CHECKS: Mapping[str, Parse] = {
    "nvidia-smi/xml/*.xml": recorded_gpus.nvidia_xml,
    "nvidia-smi/captures/*.txt": recorded_gpus.nvidia_csv,
    "nvidia-smi/csv/gb10*.csv": recorded_gpus.nvidia_csv,
    "amd-sysfs/*.ttar": recorded_gpus.ttar,
    "rocm-smi/*.json": recorded_gpus.rocm_smi,
    "apple/ioreg/*.txt": recorded_gpus.apple_ioreg,
    "apple/powermetrics/*.xml": recorded_gpus.apple_powermetrics,
    "ollama*/v*/**/*.jsonl": recorded_llms.ollama,
    "llama.cpp/v1-models.json": recorded_llms.llamacpp,
    "llama.cpp/metrics-*.txt": recorded_llms.engine,
    "vllm/**/metrics-*.txt": recorded_llms.engine,
    "sglang/*metrics.txt": recorded_llms.engine,
    "vllm/**/v1-models*.json": recorded_llms.listing,
    "lmstudio/api-v0-models*.json": recorded_llms.listing,
}
"""What collectors say of them."""
ANSWERS: Mapping[str, Parse] = {
    "ollama*/v*/**/*.jsonl": recorded_answers.ollama_file,
    "ollama/*chat*.*": recorded_answers.answer_file,
    "ollama/generate*.ndjson": recorded_answers.answer_file,
    "vllm/**/chat*.sse": recorded_answers.answer_file,
    "vllm/**/chat*.json": recorded_answers.answer_file,
    "vllm/**/completions*.sse": recorded_answers.answer_file,
    "llama.cpp/chat*.sse": recorded_answers.answer_file,
    "llama.cpp/completions*.sse": recorded_answers.answer_file,
    "mistakes/*.[!m]*": recorded_answers.answer_file,
    "openai/*.sse": recorded_answers.answer_file,
    "openai/*.chunks.jsonl": recorded_answers.chunks_file,
    "openai-compatible-streams/*.sse": recorded_answers.answer_file,
    "openai-compatible-streams/*.chunks.jsonl": recorded_answers.chunks_file,
    "*/**/v1-models*.json": recorded_answers.models_file,
}
"""What the router's dialects read in them."""
NO_PAGES = re.compile(r"\.head(ers)?\.txt$|trailing-slash|-dead")
"""Heads of answers, and a status, that lie among the pages of metrics."""
RANGES = {
    "_ratio": (0.0, 1.1),
    "_celsius": (-20.0, 130.0),
    "_watts": (0.0, 2500.0),
    "_hertz": (1e6, 2e10),
    "_bytes": (0.0, 1e15),
    "_expires_timestamp_seconds": (0.0, time.time() + 366 * 86400),
    "_timestamp_seconds": (0.0, time.time() + 60),
    "_seconds_total": (0.0, 1e10),
    "_total": (0.0, 1e18),
    "_state": (0.0, 15.0),
    "_generation": (1.0, 8.0),
    "_width": (0.0, 64.0),
}
"""By the end of a series' name, the first that fits; in base units."""
SILENT = "it says nothing"
NO_VALUE = re.compile(r"N/A|deprecated|Unknown Error|not supported|\bnan\b", re.IGNORECASE)


def absurd(sample: Sample) -> str:
    """Why nobody should believe it; empty where it may be true."""
    for text in sample.labels.values():
        if NO_VALUE.search(text) or len(text) > 200:
            return f"a label says {text[:60]!r}"
    for end, (least, most) in RANGES.items():
        if sample.name.endswith(end):
            return "" if least <= sample.value <= most else f"not from {least} to {most}"
    return ""


def check(file: Path, parse: Parse) -> tuple[int, list[str]]:
    """(series or events, what is wrong)."""
    try:
        said = list(parse(file))
    except Exception as error:  # noqa: BLE001 - any exception is a finding, told with its file
        return 0, [f"{type(error).__name__}: {error}"]
    samples = [one for family in said if isinstance(family, Metric) for one in family.samples]
    events = [one for one in said if not isinstance(one, Metric)]
    wrong = [f"{one.name}{one.labels} {one.value}: {w}" for one in samples if (w := absurd(one))]
    found = len(samples) + len(events)
    return found, wrong if found else [SILENT]


def files_of(folder: Path, pattern: str) -> list[Path]:
    return [file for file in sorted(folder.glob(pattern)) if not NO_PAGES.search(file.name)]


class Table:
    """What is printed, a line for each file, and whether something in it is wrong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.failed = False

    def add(self, file: Path, count: int, what: str, wrong: Sequence[str]) -> None:
        self.failed = self.failed or bool(wrong)
        name = file.relative_to(self._folder)
        print(f"{'WRONG' if wrong else 'ok':5} {count:5} {what:8} {name}")
        for line in wrong:
            print(f"      {line}")

    def missing(self, pattern: str) -> None:
        self.failed = True
        print(f"recordings: {self._folder} has no {pattern}", file=sys.stderr)


def main(arguments: list[str]) -> int:
    """The exit status: 0 where all is well, 1 for findings, 2 where there is nothing to check."""
    folder = Path(arguments[0]) if arguments and arguments[0] else None
    if folder is None or not folder.is_dir():
        where = f"{folder} is no folder" if folder else "no folder was named"
        print(f"recordings: {where}: make recordings RECORDINGS=folder", file=sys.stderr)
        return 2
    table = Table(folder)
    for what, checks in (("series", CHECKS), ("events", ANSWERS)):
        for pattern, parse in checks.items():
            files = files_of(folder, pattern)
            if not files:
                table.missing(pattern)
            for file in files:
                count, wrong = check(file, parse)
                table.add(file, count, what, wrong)
    for file, (count, wrong) in recorded_rules.check(folder).items():
        table.add(file, count, "recorded", wrong)
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
