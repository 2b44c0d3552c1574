"""Every parser over recordings of real programs: no exception, no absurd value.

    make recordings RECORDINGS=folder

The folder is not in the tree: most of it is other people's data. A parser takes its place in
CHECKS: files, and what makes families of one.
"""

import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.samples import Sample

from tests.exporter import recorded_gpus

CHECKS: Mapping[str, Callable[[Path], Iterable[Metric]]] = {
    "nvidia-smi/xml/*.xml": recorded_gpus.nvidia_xml,
    "nvidia-smi/captures/*.txt": recorded_gpus.nvidia_csv,
    "nvidia-smi/csv/gb10*.csv": recorded_gpus.nvidia_csv,
    "amd-sysfs/*.ttar": recorded_gpus.ttar,
    "rocm-smi/*.json": recorded_gpus.rocm_smi,
    "apple/ioreg/*.txt": recorded_gpus.apple_ioreg,
    "apple/powermetrics/*.xml": recorded_gpus.apple_powermetrics,
}
RANGES = {
    "_ratio": (0.0, 1.1),
    "_celsius": (-20.0, 130.0),
    "_watts": (0.0, 2500.0),
    "_hertz": (1e6, 2e10),
    "_bytes": (0.0, 1e15),
    "_timestamp_seconds": (0.0, time.time() + 60),
    "_seconds_total": (0.0, 1e10),
    "_total": (0.0, 1e18),
    "_state": (0.0, 15.0),
    "_generation": (1.0, 8.0),
    "_width": (0.0, 64.0),
}
"""By the end of a series' name, the first that fits; in base units."""
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


def check(file: Path, parse: Callable[[Path], Iterable[Metric]]) -> tuple[int, list[str]]:
    """(series, what is wrong)."""
    try:
        found = [sample for family in parse(file) for sample in family.samples]
    except Exception as error:  # noqa: BLE001 - any exception is a finding, told with its file
        return 0, [f"{type(error).__name__}: {error}"]
    wrong = [f"{one.name}{one.labels} {one.value}: {why}" for one in found if (why := absurd(one))]
    return len(found), wrong if found else ["it says nothing"]


def main(arguments: list[str]) -> int:
    """The exit status: 0 where all is well, 1 for findings, 2 where there is nothing to check."""
    folder = Path(arguments[0]) if arguments and arguments[0] else None
    if folder is None or not folder.is_dir():
        where = f"{folder} is no folder" if folder else "no folder was named"
        print(f"recordings: {where}: make recordings RECORDINGS=folder", file=sys.stderr)
        return 2
    failed = False
    for pattern, parse in CHECKS.items():
        files = sorted(folder.glob(pattern))
        if not files:
            print(f"recordings: {folder} has no {pattern}", file=sys.stderr)
            failed = True
        for file in files:
            series, wrong = check(file, parse)
            failed = failed or bool(wrong)
            print(f"{'WRONG' if wrong else 'ok':5} {series:4} series  {file.relative_to(folder)}")
            for line in wrong:
                print(f"      {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
