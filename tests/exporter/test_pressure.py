"""/proc/pressure: what tasks waited for."""

from pathlib import Path

import pytest

from dpl_exporter.collectors.pressure import Pressure, PressureCollector, read_pressure
from dpl_exporter.errors import NoData
from tests.exporter.values import by, values_of

TEXT = (
    "some avg10=0.00 avg60=1.25 avg300=0.40 total=1500000\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=250000\n"
)


def test_totals_are_seconds(tmp_path: Path) -> None:
    for resource in ("cpu", "memory", "io"):
        (tmp_path / resource).write_text(TEXT)

    values = values_of(PressureCollector(lambda: read_pressure(tmp_path)).collect())

    waiting = by(values, "dpl_node_pressure_waiting_seconds_total", "resource")
    assert waiting == {"cpu": 1.5, "memory": 1.5, "io": 1.5}
    stalled = by(values, "dpl_node_pressure_stalled_seconds_total", "resource")
    assert stalled == {"memory": 0.25, "io": 0.25}


def test_what_a_kernel_does_not_tell_is_absent(tmp_path: Path) -> None:
    (tmp_path / "memory").write_text(TEXT.splitlines()[0] + "\n")

    assert read_pressure(tmp_path) == {"memory": Pressure(1.5, None)}


def test_a_kernel_without_it_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoData):
        read_pressure(tmp_path)
