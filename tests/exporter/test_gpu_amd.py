"""AMD cards, from a sysfs tree as Linux shows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dpl_exporter.collectors.gpu_amd import AmdCollector, parse_levels, read_cards
from dpl_exporter.collectors.gpu_energy import EnergyCount
from dpl_exporter.errors import NoData
from tests.exporter.values import Values, by, only, values_of
from tests.fakes.amd import IN_THE_PROCESSOR, VEGA, add_card


def values(sysfs: Path, nvidia: Path | None = None) -> Values:
    energy = EnergyCount(lambda: 0.0)
    nvidia = nvidia or sysfs / "none"
    return values_of(AmdCollector(lambda: read_cards(energy, sysfs, nvidia)).collect())


def test_a_card_is_told_in_base_units(tmp_path: Path) -> None:
    add_card(tmp_path, 1, VEGA)

    told = values(tmp_path)

    (about,) = told["dpl_gpu_info"]
    assert dict(about) == {
        "gpu": "card1",
        "uuid": "0123456789abcdef",
        "name": "AMD 0x687f",
        "vendor": "amd",
        "pci_bus_id": "0000:09:00.0",
    }
    assert only(told, "dpl_gpu_utilization_ratio") == 0.04
    assert only(told, "dpl_gpu_memory_used_bytes") == 1490378752
    assert only(told, "dpl_gpu_power_watts") == pytest.approx(22)
    assert by(told, "dpl_gpu_temperature_celsius", "sensor") == {
        "core": 54.0,
        "hotspot": 61.0,
        "memory": 70.0,
    }
    assert only(told, "dpl_gpu_temperature_slowdown_celsius") == 85.0
    assert by(told, "dpl_gpu_clock_hertz", "domain") == {"sm": 991e6, "memory": 945e6}
    assert by(told, "dpl_gpu_clock_max_hertz", "domain") == {"sm": 1630e6, "memory": 945e6}
    assert by(told, "dpl_gpu_pcie_link_generation", "bound") == {"current": 3.0, "max": 4.0}
    assert by(told, "dpl_gpu_pcie_link_width", "bound") == {"current": 8.0, "max": 16.0}
    assert by(told, "dpl_gpu_ecc_errors_total", "severity") == {
        "corrected": 5.0,
        "uncorrected": 0.0,
    }
    assert only(told, "dpl_gpu_fan_speed_ratio") == 0.2


def test_what_a_card_does_not_tell_is_absent(tmp_path: Path) -> None:
    """A card that sleeps has files that cannot be read, an older one lacks them."""
    device = add_card(tmp_path, 0, {"gpu_busy_percent": "N/A"})
    (device / "mem_info_vram_used").mkdir()

    assert list(values(tmp_path)) == ["dpl_gpu_info"]


def test_cards_of_other_makes_are_not_ours(tmp_path: Path) -> None:
    add_card(tmp_path, 0, {"vendor": "0x8086"}, driver="i915")
    (tmp_path / "class" / "drm" / "card0-DP-1").mkdir()

    with pytest.raises(NoData):
        values(tmp_path)


@pytest.mark.parametrize("make", ["no drm", "no sysfs"])
def test_without_a_tree_there_is_nothing(tmp_path: Path, make: str) -> None:
    if make == "no drm":
        (tmp_path / "class").mkdir()

    with pytest.raises(NoData):
        values(tmp_path)


def test_a_chip_in_the_processor_alone_computes_in_the_machines_memory(tmp_path: Path) -> None:
    add_card(tmp_path, 0, IN_THE_PROCESSOR)

    told = values(tmp_path)

    assert only(told, "dpl_gpu_memory_total_bytes") == 536870912 + 33554432000
    assert only(told, "dpl_gpu_memory_used_bytes") == 8400000000


def test_a_chip_in_the_processor_does_not_count_beside_a_real_card(tmp_path: Path) -> None:
    """It would halve the machine's utilisation and add memory that no model can have."""
    add_card(tmp_path, 0, IN_THE_PROCESSOR)
    add_card(tmp_path, 1, VEGA)

    assert list(by(values(tmp_path), "dpl_gpu_info", "gpu")) == ["card1"]


def test_nor_does_it_beside_an_nvidia_card(tmp_path: Path) -> None:
    add_card(tmp_path, 0, IN_THE_PROCESSOR)
    nvidia = tmp_path / "nvidia"
    nvidia.mkdir()

    with pytest.raises(NoData):
        values(tmp_path, nvidia)


def test_a_card_that_goes_is_no_failure_and_leaves_no_series(tmp_path: Path) -> None:
    device = add_card(tmp_path, 1, VEGA)
    collector = AmdCollector(lambda: read_cards(EnergyCount(lambda: 0.0), tmp_path, tmp_path / "-"))
    before = values_of(collector.collect())
    (device / "driver").unlink()

    assert "dpl_gpu_info" in before
    assert values_of(collector.collect()) == {}


def test_energy_is_power_over_time(tmp_path: Path) -> None:
    device = add_card(tmp_path, 1, VEGA)
    clock: Iterator[float] = iter([0.0, 5.0, 10.0])
    energy = EnergyCount(lambda: next(clock))
    collector = AmdCollector(lambda: read_cards(energy, tmp_path, tmp_path / "-"))

    joules = []
    for microwatts in ("20000000", "40000000", "40000000"):
        (device / "hwmon/hwmon3/power1_average").write_text(microwatts)
        joules.append(only(values_of(collector.collect()), "dpl_gpu_energy_joules_total"))

    assert joules == pytest.approx([0.0, 150.0, 350.0])


def test_the_star_is_the_level_in_use() -> None:
    assert parse_levels("0: 167Mhz \n1: 945Mhz *") == (945e6, 945e6)
    assert parse_levels("S: 19Mhz *\n0: 500Mhz") == (19e6, 500e6)  # asleep, on RDNA cards
    assert parse_levels("") == (None, None)
