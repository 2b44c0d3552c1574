"""One word for a collector in its file, class and flag; the README tells of all."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpl_exporter.collectors import BACKENDS, COLLECTORS, Parts
from dpl_exporter.collectors.llm import LlmCollector
from dpl_exporter.collectors.llm_process import LlmProcesses
from dpl_exporter.desk import LeaseDesk
from dpl_exporter.journal import Journal
from dpl_exporter.settings import load
from dpl_exporter.slots import Slots

PRODUCT = Path(__file__).parents[2] / "exporter"
README = (PRODUCT / "README.md").read_text("utf-8")


def rows(head: str) -> Iterator[str]:
    """Of the README's table whose head starts so."""
    _, _, table = README.partition(f"\n{head}")
    assert table, f"exporter/README.md has no table that starts with {head!r}"
    for line in table.splitlines()[2:]:
        if not line.startswith("|"):
            return
        yield line


def first_cell(row: str) -> str:
    return row.split("|")[1].strip(" `")


FLAGS = "\n".join(rows("| flag |"))
COLLECTOR_ROWS = {first_cell(row) for row in rows("| collector |")} - {"(all)"}


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    settings, _ = load(["--data-dir", str(tmp_path)], environ={}, collectors=COLLECTORS)
    slots, journal = Slots(None), Journal(tmp_path, time.time)
    llm = LlmCollector(
        settings.llm_url,
        lambda kind: BACKENDS[kind](settings),
        kind=None,
        slots=slots,
        processes=LlmProcesses(settings.llm_url, time.monotonic),
        monotonic=time.monotonic,
    )
    desk = LeaseDesk(slots, journal.next_token, time.monotonic)
    return Parts(settings=settings, desk=desk, journal=journal, llm=llm)


@pytest.mark.parametrize("name", COLLECTORS)
def test_a_collector_has_one_word(name: str, parts: Parts) -> None:
    """`llm` changes its own later, to that of its kind."""
    collector = COLLECTORS[name](parts)
    file = type(collector).__module__.rpartition(".")[2]

    assert re.fullmatch(r"[a-z][a-z0-9_]*", name), f"{name!r} makes no flag and no label"
    assert file == name, f"COLLECTORS has {name!r}, its file is {file}.py: make them one word"
    assert collector.name == name, f"COLLECTORS has {name!r}, its class says {collector.name!r}"


def test_every_collector_has_a_row_in_the_readme() -> None:
    wrong = [
        f"exporter/README.md has no row `{name}` in the table under Metrics"
        for name in COLLECTORS
        if name not in COLLECTOR_ROWS
    ]
    wrong += [
        f"exporter/README.md has a row `{name}` under Metrics, and COLLECTORS has no such collector"
        for name in COLLECTOR_ROWS - COLLECTORS.keys()
    ]

    assert not wrong, "\n".join(wrong)


@pytest.fixture
def help_text(capsys: pytest.CaptureFixture[str]) -> str:
    """With one word for all collectors, as in the README."""
    with pytest.raises(SystemExit):
        load(["--help"], environ={}, collectors=COLLECTORS)
    text = capsys.readouterr().out
    text = re.sub(r"collector\.[a-z0-9_]+", "collector.NAME", text)
    return re.sub(r"DPL_COLLECTOR_[A-Z0-9_]+", "DPL_COLLECTOR_NAME", text)


def test_every_flag_of_help_is_in_the_readme_and_the_other_way_round(help_text: str) -> None:
    of_help, of_readme = (
        set(re.findall(r"--[a-z][a-zA-Z.-]+", text)) - {"--help"} for text in (help_text, FLAGS)
    )
    where = "the table under Settings of exporter/README.md"
    wrong = [f"{where} has no `{flag}`" for flag in of_help - of_readme]
    wrong += [f"{where} has `{flag}`, which --help does not know" for flag in of_readme - of_help]

    assert not wrong, "\n".join(wrong)


def test_every_variable_of_help_is_in_the_table_of_flags(help_text: str) -> None:
    wrong = [
        f"the table under Settings of exporter/README.md has no `{name}`"
        for name in sorted(set(re.findall(r"\b(?:DPL|OLLAMA)_[A-Z_]+\b", help_text)))
        if f"`{name}" not in FLAGS
    ]

    assert not wrong, "\n".join(wrong)


def test_every_variable_that_the_code_reads_is_in_the_readme() -> None:
    wrong = [
        f"exporter/README.md does not name {name}, which {path.name} reads"
        for path in (PRODUCT / "dpl_exporter").rglob("*.py")
        for name in re.findall(r'"((?:DPL|OLLAMA|HF)_[A-Z_]+[A-Z])"', path.read_text("utf-8"))
        if name not in README
    ]

    assert not wrong, "\n".join(wrong)
