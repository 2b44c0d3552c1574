"""`make recordings`: it tells what it cannot believe, and does not pass where there is nothing."""

from pathlib import Path

import pytest
from prometheus_client.samples import Sample

from tests.recordings_run import absurd, main


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
    assert "WRONG    0 series  apple/powermetrics/broken.xml" in capsys.readouterr().out


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
