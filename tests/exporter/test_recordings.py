"""What `make recordings` reads of other people's data, over the recordings in the tree; and that it
tells what it cannot believe, and does not pass where there is nothing.
"""

from pathlib import Path

import pytest
from prometheus_client.samples import Sample

from tests.recordings_run import ANSWERS, CHECKS, SILENT, Parse, absurd, check, files_of, main
from tests.system import recorded_rules

TREE = Path(__file__).parents[1] / "recordings"
HERE = [
    (pattern, parse)
    for pattern, parse in [*CHECKS.items(), *ANSWERS.items()]
    if files_of(TREE, pattern)
]


@pytest.mark.parametrize(("pattern", "parse"), HERE)
def test_every_recording_is_read_without_a_fault_or_an_absurd_value(
    pattern: str, parse: Parse
) -> None:
    found = {file: check(file, parse) for file in files_of(TREE, pattern)}

    assert {file.name: w for file, (_, w) in found.items() if w and w != [SILENT]} == {}
    assert any(n for n, _ in found.values())


def test_the_tree_has_recordings_of_every_kind_of_server_that_was_run_for_it() -> None:
    assert {pattern.split("/")[0] for pattern, _ in HERE} >= {"ollama*", "vllm", "llama.cpp"}


@pytest.mark.parametrize("arguments", [[], [""], ["no-such-folder"]])
def test_without_recordings_it_says_so_and_fails(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "make recordings RECORDINGS=" in capsys.readouterr().err


def test_a_folder_without_the_recordings_fails(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 1


def test_a_recording_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "apple" / "powermetrics" / "broken.xml"
    file.parent.mkdir(parents=True)
    file.write_text("not a property list")

    assert main([str(tmp_path)]) == 1
    assert "WRONG     0 series   apple/powermetrics/broken.xml" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("dpl_gpu_temperature_celsius", {"sensor": "memory"}, 9223372036854775794.0),
        ("dpl_gpu_clock_hertz", {"domain": "sm"}, 714.8),
        ("dpl_gpu_utilization_ratio", {}, 65.0),
        ("dpl_gpu_info", {"name": "[N/A]"}, 1.0),
        ("dpl_gpu_info", {"name": "Requested functionality has been deprecated"}, 1.0),
        ("dpl_gpu_power_watts", {}, float("nan")),
    ],
)
def test_absurd_values_are_found(name: str, labels: dict[str, str], value: float) -> None:
    assert absurd(Sample(name, labels, value))


def test_values_that_may_be_true_are_let_through() -> None:
    assert absurd(Sample("dpl_gpu_temperature_celsius", {"sensor": "core"}, 61.0)) == ""
    assert absurd(Sample("dpl_gpu_info", {"name": "NVIDIA GB10"}, 1.0)) == ""


@pytest.mark.parametrize(
    ("name", "value", "odd"),
    [
        ("node:dpl_gpu_utilization:avg", 65.0, True),
        ("node:dpl_gpu_utilization:avg", 0.65, False),
        ("node:dpl_gpu_memory_free:bytes", -1.0, True),
        ("node:dpl_eligible:bool", 2.0, True),
        ("node:dpl_node_cpu_utilization:ratio_rate1m", float("nan"), False),
        ("node:dpl_load:ratio", float("nan"), True),
        ("node:dpl_slots:max", 9223372036854775794.0, True),
        ("up", 0.0, True),
    ],
)
def test_what_rules_make_of_a_recording_is_looked_at(name: str, value: float, odd: bool) -> None:
    assert bool(recorded_rules.absurd(name, "{}", value)) is odd


def test_titles_and_prose_of_a_recorded_page_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "page.txt"
    file.write_text('Active 1g.5gb\n...\nm{a="b c"} 9223372036854775794\nn 1.5e+09 17\n# EOF?\n')

    assert recorded_rules.exposition(file) == 'm{a="b c"} 9223372036854775794\nn 1.5e+09 17\n'
