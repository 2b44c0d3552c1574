"""Host collectors on injected readings: names, units, and what is absent."""

import re
import sys
from functools import partial
from pathlib import Path

import pytest

from dpl_exporter.collectors.build import BuildCollector
from dpl_exporter.collectors.cpu import Cpu, CpuCollector, read_cpu
from dpl_exporter.collectors.disk import Disk, DiskCollector
from dpl_exporter.collectors.filesystem import (
    Filesystem,
    FilesystemCollector,
    mountpoint_of,
    read_filesystems,
    watched_paths,
)
from dpl_exporter.collectors.lease import LeaseCollector
from dpl_exporter.collectors.machine import Machine, MachineCollector, cpu_model, node_time
from dpl_exporter.collectors.memory import Memory, MemoryCollector, read_memory
from dpl_exporter.collectors.network import Device, NetworkCollector, read_devices
from dpl_exporter.collectors.temperature import TemperatureCollector
from dpl_exporter.desk import LeaseDesk
from dpl_exporter.errors import Failed, NoData
from dpl_exporter.settings import IGNORED_DEVICES
from dpl_exporter.slots import Slots
from tests.exporter.values import by, labels, only, values_of

MACHINE = Machine("linux", "6.1.0", "x86_64", "A CPU", "gpu-1", 1_700_000_000.0, (0.5, 0.25, 0.1))


def test_a_machine_says_what_it_is() -> None:
    values = values_of(MachineCollector(lambda: MACHINE).collect())

    assert values["dpl_node_info"] == {
        labels(os="linux", kernel="6.1.0", arch="x86_64", cpu_model="A CPU", hostname="gpu-1"): 1.0
    }
    assert only(values, "dpl_node_boot_time_seconds") == 1_700_000_000.0
    assert [only(values, f"dpl_node_load{m}") for m in (1, 5, 15)] == [0.5, 0.25, 0.1]


def test_the_cpu_model_is_the_first_of_cpuinfo_and_empty_on_arm() -> None:
    text = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7: x\nmodel name\t: other\n"

    assert cpu_model(text) == "AMD EPYC 7: x"
    assert cpu_model("processor\t: 0\nBogoMIPS\t: 48.00\n") == ""


def test_the_time_of_the_page_is_the_nodes_clock() -> None:
    assert only(values_of([node_time(lambda: 12.5)]), "dpl_node_time_seconds") == 12.5


def test_guest_time_is_not_counted_twice() -> None:
    """Linux has it in user and nice as well, and psutil passes that on."""
    seconds = {
        "user": 10.0,
        "nice": 4.0,
        "system": 3.0,
        "idle": 80.0,
        "guest": 6.0,
        "guest_nice": 1,
    }

    values = values_of(CpuCollector(lambda: Cpu(seconds, 8, 4)).collect())

    assert by(values, "dpl_node_cpu_seconds_total", "mode") == {
        "user": 4.0,
        "nice": 3.0,
        "system": 3.0,
        "idle": 80.0,
    }
    assert by(values, "dpl_node_cpus", "kind") == {"logical": 8.0, "physical": 4.0}


def test_a_number_of_cpus_that_is_not_known_is_absent() -> None:
    values = values_of(CpuCollector(lambda: Cpu({"user": 1.0}, 8, None)).collect())

    assert by(values, "dpl_node_cpus", "kind") == {"logical": 8.0}


def test_this_machine_can_be_read() -> None:
    assert read_cpu().seconds["user"] > 0
    assert read_memory().total > 2**20


def test_memory_and_swap_are_bytes_and_pressure_is_absent_where_unknown() -> None:
    values = values_of(MemoryCollector(lambda: Memory(100, 60, 40, 10, 1, 5, 6)).collect())

    assert {name: only(values, name) for name in values} == {
        "dpl_node_memory_total_bytes": 100.0,
        "dpl_node_memory_available_bytes": 60.0,
        "dpl_node_memory_used_bytes": 40.0,
        "dpl_node_swap_total_bytes": 10.0,
        "dpl_node_swap_used_bytes": 1.0,
        "dpl_node_swap_in_bytes_total": 5.0,
        "dpl_node_swap_out_bytes_total": 6.0,
    }


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_swapping_that_a_platform_does_not_count_is_absent(platform: str) -> None:
    """psutil says there what was paged in and out of files on a Mac, and 0 on Windows."""
    values = values_of(MemoryCollector(lambda: read_memory(platform)).collect())

    assert "dpl_node_swap_total_bytes" in values
    assert [name for name in values if "swap_in" in name or "swap_out" in name] == []


def test_drops_that_a_mac_does_not_count_are_absent() -> None:
    def told(platform: str) -> set[str]:
        read = partial(read_devices, platform)
        return set(values_of(NetworkCollector(re.compile("(?!)"), read).collect()))

    assert told("linux") - told("darwin") == {"dpl_node_network_transmit_drops_total"}


def test_a_mac_says_its_memory_pressure() -> None:
    values = values_of(MemoryCollector(lambda: Memory(1, 1, 0, 0, 0, 0, 0, pressure=2)).collect())

    assert only(values, "dpl_node_memory_pressure_level") == 2.0


def test_whole_disks_alone_are_told_in_bytes_and_seconds() -> None:
    disk = Disk(1, 2, 3, 4, 5000, 6000, 7000)
    others = ("loop0", "dm-0", "zram0", "md127", "sr0", "bcache0", "zd0", "drbd0", "rbd0", "nbd1")
    parts = ("nvme0c0n1", "mmcblk0boot0", "mmcblk0rpmb")

    values = values_of(
        DiskCollector(lambda: dict.fromkeys(("sda", *others, *parts), disk)).collect()
    )

    assert {name: by(values, name, "device") for name in values} == {
        "dpl_node_disk_read_bytes_total": {"sda": 1.0},
        "dpl_node_disk_written_bytes_total": {"sda": 2.0},
        "dpl_node_disk_reads_completed_total": {"sda": 3.0},
        "dpl_node_disk_writes_completed_total": {"sda": 4.0},
        "dpl_node_disk_read_time_seconds_total": {"sda": 5.0},
        "dpl_node_disk_write_time_seconds_total": {"sda": 6.0},
        "dpl_node_disk_io_time_seconds_total": {"sda": 7.0},
    }


def test_disks_of_every_kind_are_told() -> None:
    disk = Disk(1, 2, 3, 4, 5000, 6000, 7000)
    names = ("sda", "sdaa", "vdb", "xvda", "nvme0n1", "mmcblk0", "disk0", "PhysicalDrive0")

    values = values_of(DiskCollector(lambda: dict.fromkeys(names, disk)).collect())

    assert set(by(values, "dpl_node_disk_read_bytes_total", "device")) == set(names)


def test_times_that_a_platform_does_not_have_are_absent() -> None:
    values = values_of(
        DiskCollector(lambda: {"disk0": Disk(1, 2, 3, 4, None, None, None)}).collect()
    )

    assert not [name for name in values if "time" in name]


def test_a_machine_without_a_disk_has_nothing_to_tell() -> None:
    with pytest.raises(NoData):
        values_of(DiskCollector(dict).collect())


DEVICE = Device(1, 2, 3, 4, 5, 6, 7, 8, is_up=True, megabits=1000)


def test_a_network_device_is_told_in_bytes() -> None:
    values = values_of(NetworkCollector(re.compile("lo"), lambda: {"eth0": DEVICE}).collect())

    assert {name.removeprefix("dpl_node_network_"): only(values, name) for name in values} == {
        "receive_bytes_total": 1.0,
        "transmit_bytes_total": 2.0,
        "receive_packets_total": 3.0,
        "transmit_packets_total": 4.0,
        "receive_errors_total": 5.0,
        "transmit_errors_total": 6.0,
        "receive_drops_total": 7.0,
        "transmit_drops_total": 8.0,
        "speed_bytes": 125_000_000.0,
        "up": 1.0,
    }


def test_a_speed_that_is_not_known_is_absent() -> None:
    device = Device(1, 2, 3, 4, 5, 6, 7, 8, is_up=False, megabits=0)

    values = values_of(NetworkCollector(re.compile("lo"), lambda: {"eth0": device}).collect())

    assert "dpl_node_network_speed_bytes" not in values
    assert only(values, "dpl_node_network_up") == 0.0


def test_devices_that_are_no_hardware_are_left_out_by_default() -> None:
    names = ["lo", "veth12ab", "docker0", "br-77", "utun3", "tailscale0", "eth0", "en0", "wlan0"]
    ignore = re.compile(IGNORED_DEVICES)

    values = values_of(NetworkCollector(ignore, lambda: dict.fromkeys(names, DEVICE)).collect())

    assert set(by(values, "dpl_node_network_up", "device")) == {"eth0", "en0", "wlan0"}
    with pytest.raises(NoData):
        values_of(NetworkCollector(ignore, lambda: {"lo": DEVICE}).collect())


def test_a_machine_with_many_devices_stays_within_the_budget() -> None:
    many = {f"eth{i:02}": DEVICE for i in range(64)}

    values = values_of(NetworkCollector(re.compile("lo"), lambda: many).collect())

    assert len(values["dpl_node_network_up"]) == 8


def test_a_filesystem_is_told_with_its_role() -> None:
    found = [Filesystem("/", "/dev/sda1", "ext4", "root", 100, 40, 10, 4)]

    values = values_of(FilesystemCollector(lambda: found).collect())

    assert by(values, "dpl_node_filesystem_size_bytes", "mountpoint") == {"/": 100.0}
    assert by(values, "dpl_node_filesystem_avail_bytes", "mountpoint") == {"/": 40.0}
    assert by(values, "dpl_node_filesystem_files", "mountpoint") == {"/": 10.0}
    assert by(values, "dpl_node_filesystem_files_free", "mountpoint") == {"/": 4.0}
    assert set(values["dpl_node_filesystem_info"]) == {
        labels(mountpoint="/", device="/dev/sda1", fstype="ext4", role="root")
    }


def test_a_filesystem_without_inodes_has_no_inode_series() -> None:
    found = [Filesystem("/", "x", "btrfs", "root", 100, 40, None, None)]

    values = values_of(FilesystemCollector(lambda: found).collect())

    assert "dpl_node_filesystem_files" not in values


def test_the_model_store_is_found_where_the_environment_says_even_before_it_exists(
    tmp_path: Path,
) -> None:
    store = tmp_path / "not" / "yet"

    paths = watched_paths({"OLLAMA_MODELS": str(store), "HOME": str(tmp_path)}, [tmp_path])
    found = read_filesystems(paths)

    assert paths == [("models", store), ("data", tmp_path), ("root", Path("/"))]
    assert found[0].mountpoint == mountpoint_of(tmp_path)
    assert found[0].role == "models", "a filesystem with several roles is told once, as this"
    assert len({one.mountpoint for one in found}) == len(found)


def test_a_path_that_cannot_be_read_hides_no_other_and_is_a_failure() -> None:
    """A stale network mount looks like this."""
    stale = Path("/" + "x" * 300)
    collector = FilesystemCollector(
        lambda: read_filesystems([("models", stale), ("root", Path("/"))])
    )

    with pytest.raises(Failed) as failure:
        list(collector.collect())
    values = values_of(failure.value.families)

    assert str(stale)[:50] in failure.value.message
    assert set(by(values, "dpl_node_filesystem_size_bytes", "mountpoint")) == {"/"}
    assert by(values, "dpl_node_filesystem_info", "role") == {"root": 1.0, "models": 1.0}


def test_the_usual_stores_are_found_where_they_exist(tmp_path: Path) -> None:
    (tmp_path / ".ollama/models").mkdir(parents=True)

    paths = watched_paths({"HOME": str(tmp_path)}, [])

    assert ("models", tmp_path / ".ollama/models") in paths


def test_each_sensor_chip_tells_its_hottest_reading() -> None:
    found = {"coretemp": [40.0, 55.5, 50.0], "nvme": [30.0], "empty": []}

    values = values_of(TemperatureCollector(lambda: found).collect())

    assert by(values, "dpl_node_temperature_celsius", "sensor") == {"coretemp": 55.5, "nvme": 30.0}
    with pytest.raises(NoData):
        values_of(TemperatureCollector(dict).collect())


def test_the_build_is_told() -> None:
    (key,) = values_of(BuildCollector("abc123").collect())["dpl_exporter_build_info"]

    assert dict(key)["revision"] == "abc123"
    assert dict(key)["python"] == ".".join(map(str, sys.version_info[:3]))


def test_leases_are_told_and_every_series_is_there_from_the_start() -> None:
    now = [100.0]
    tokens = iter(range(5000, 6000))
    desk = LeaseDesk(Slots(4), lambda: next(tokens), lambda: now[0])
    collector = LeaseCollector(desk.facts, lambda: True, lambda: 1_000_000.0)
    before = values_of(collector.collect())
    desk.lock(b'{"owner": "r", "ttl_seconds": 30, "slots": 3}')
    desk.lock(b'{"owner": "s", "ttl_seconds": 60}')

    held = values_of(collector.collect())
    now[0] += 31.0
    later = values_of(collector.collect())

    assert set(held) - set(before) == {"dpl_lock_lease_expires_timestamp_seconds"}
    assert only(before, "dpl_lock_held") == 0.0
    assert {name: only(held, name) for name in held if len(held[name]) == 1} == {
        "dpl_node_slots": 4.0,
        "dpl_lock_held": 1.0,
        "dpl_lock_exclusive": 0.0,
        "dpl_lock_slots": 4.0,
        "dpl_lock_slots_in_use": 4.0,
        "dpl_lock_lease_expires_timestamp_seconds": 1_000_060.0,
        "dpl_lock_fencing_token": 5001.0,
        "dpl_lock_state_persistent": 1.0,
        "dpl_lock_stale_rejected_total": 0.0,
        "dpl_lock_hold_seconds_count": 0.0,
        "dpl_lock_hold_seconds_sum": 0.0,
    }
    assert by(held, "dpl_lock_acquisitions_total", "result") == {"granted": 2.0, "conflict": 0.0}
    assert by(later, "dpl_lock_releases_total", "reason") == {
        "client": 0.0,
        "expired": 1.0,
        "forced": 0.0,
    }
    assert by(later, "dpl_lock_hold_seconds_bucket", "le")["60.0"] == 1.0
    assert by(later, "dpl_lock_hold_seconds_bucket", "le")["15.0"] == 0.0
