"""The page of each platform, as it is committed in golden/. Write them anew with

    .venv/bin/python -m tests.exporter.golden

and look at what changed. What a GPU or an LLM server says is compared with its values; of the rest,
whose values are this machine's, the series.
"""

import re
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.exporter.gpu_platforms import PLATFORMS
from tests.exporter.llm_servers import SERVERS, scrape_beside
from tests.exporter.process import PATIENCE, running

FOLDER = Path(__file__).with_name("golden")
FLAGS = ("--no-collector.llm", "--network-ignore", "(?!)")
"""What a model server says is tested beside it; loopback is a network device that all have."""
TOLD = ("dpl_gpu_", "dpl_llm_")
VARIES = re.compile(
    r"dpl_gpu_(energy_joules_total|xid_last_timestamp_seconds)\b|dpl_llm_pro(be|cess)_"
)
"""Values of them that depend on the time."""
HERE = re.compile(
    r'\b(arch|cpu_model|device|fstype|hostname|kernel|mountpoint|python|sensor|version)="[^"]*"'
)
"""Labels that are this machine's."""
NOT_EVERYWHERE = re.compile(
    r"dpl_node_(disk|filesystem|network_speed|temperature)_|dpl_node_cpus{kind=.physical"
    r'|dpl_node_cpu_seconds|dpl_exporter_collector\w+{collector="(disk|temperature)"'
)
"""A machine or a container may lack these; they may not be other than in the golden page. What is
read from DPL_PROC or DPL_SYSFS does not belong here: gpu_platforms.py has it on every machine."""
CURE = (
    "'+' is told here and not on the golden page, '-' the other way round. If that was meant: "
    "`.venv/bin/python -m tests.exporter.golden` writes the pages anew; look at their diff. What "
    "only some machines show: put its file of /proc into tests/fakes/linux.py; where nothing but "
    "the machine itself can show it, its name into NOT_EVERYWHERE of tests/exporter/golden.py."
)


def masked(page: str) -> list[str]:
    """The lines of the page without what differs from time to time and from machine to machine."""
    lines: list[str] = []
    for line in page.splitlines():
        if not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            told = line.startswith(TOLD)
            series = series if told else HERE.sub(r'\1="~"', series)
            line = f"{series} {value if told and not VARIES.match(line) else '~'}"
        if line not in lines:  # two disks are one line
            lines.append(line)
    return lines


def scrape(platform: str, folder: Path) -> str:
    """One page on which all collectors work."""
    with (
        PLATFORMS[platform](folder) as machine,
        running(folder, *FLAGS, *machine.flags, **machine.environ) as exporter,
    ):
        exporter.page()  # all have come up
        end = time.monotonic() + PATIENCE
        while not all(f"dpl_gpu_{name}" in exporter.metrics() for name in machine.shows):
            assert time.monotonic() < end, f"{platform} never told {machine.shows}"
            time.sleep(0.1)
        return exporter.metrics()


def page_of(name: str, folder: Path) -> str:
    """Of a platform, or beside an LLM server."""
    return scrape_beside(name) if name in SERVERS else scrape(name, folder)


def differences(golden: Iterable[str], found: Iterable[str]) -> list[str]:
    """Lines that are in one of them only, but for those that a machine may lack."""
    expected, got = set(golden), set(found)
    missing = [f"- {line}" for line in expected - got if not may_be_missing(line)]
    return sorted(missing) + sorted(f"+ {line}" for line in got - expected)


def may_be_missing(line: str) -> bool:
    return bool(NOT_EVERYWHERE.search(line.removeprefix("# HELP ").removeprefix("# TYPE ")))


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for platform in (*PLATFORMS, *SERVERS):
        with tempfile.TemporaryDirectory() as folder:
            lines = masked(page_of(platform, Path(folder)))
        file = FOLDER / f"{platform}.prom"
        file.write_text("\n".join(lines) + "\n", "utf-8")
        print(f"{file.name}: {sum(not line.startswith('#') for line in lines)} series")
    return 0


if __name__ == "__main__":
    sys.exit(main())
