"""/proc/pressure: what tasks waited for."""

from pathlib import Path

import pytest

from dpl_exporter.collectors.pressure import Pressure, PressureCollector, read_pressure
from dpl_exporter.errors import NoData
from tests.exporter.values import by, values_of
from tests.fakes.linux import STALLED, add_proc


def test_totals_are_seconds(tmp_path: Path) -> None:
    proc = add_proc(tmp_path)

    values = values_of(PressureCollector(lambda: read_pressure(proc)).collect())

    waiting = by(values, "dpl_node_pressure_waiting_seconds_total", "resource")
    assert waiting == {"cpu": 1.5, "memory": 1.5, "io": 1.5}
    stalled = by(values, "dpl_node_pressure_stalled_seconds_total", "resource")
    assert stalled == {"memory": 0.25, "io": 0.25}


def test_what_a_kernel_does_not_tell_is_absent(tmp_path: Path) -> None:
    proc = add_proc(tmp_path, {"pressure/memory": STALLED.splitlines()[0] + "\n"})

    assert read_pressure(proc) == {"memory": Pressure(1.5, None)}


def test_a_kernel_without_it_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoData):
        read_pressure(tmp_path)
