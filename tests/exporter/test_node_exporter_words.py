"""Readings of machines that are not here, in node_exporter's words."""

import re
from dataclasses import replace

import pytest

from dpl_exporter.collectors.bilingual import Bilingual
from dpl_exporter.collectors.cpu import Cpu, Forward
from dpl_exporter.collectors.filesystem import Filesystem, FilesystemCollector
from dpl_exporter.collectors.machine import Machine
from dpl_exporter.collectors.memory import Memory, parse_meminfo, parse_vm_stat
from dpl_exporter.collectors.network import Device
from dpl_exporter.collectors.node_exporter import (
    cpu_words,
    filesystem_words,
    machine_words,
    memory_words,
    network_words,
)
from dpl_exporter.errors import Failed
from tests.exporter.values import by, labels, only, values_of

MEMORY = Memory(100, 60, 40, 10, 1, 5, 6)
MACHINE = Machine("darwin", "25.1.0", "arm64", "Apple M4", "mini.home.arpa", 1.7e9, (3.0, 2.0, 1.0))
DEVICE = Device(1, 2, 3, 4, 5, 6, 7, 8, is_up=True, megabits=1000)
VM_STAT = """\
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                                4518.
Pages active:                            194947.
Pages inactive:                          191193.
Pages speculative:                         3014.
Pages throttled:                              0.
Pages wired down:                        159117.
Pages purgeable:                            630.
"Translation faults":                 574921966.
File-backed pages:                       141843.
Anonymous pages:                         247311.
Pages stored in compressor:             1022243.
Pages occupied by compressor:            454496.
Pageins:                                 5.
Pageouts:                                6.
Swapins:                                 70.
"""


def filesystems() -> list[Filesystem]:
    root = Filesystem("/", "/dev/sda1", "ext4", "root", 100, 40, 10, 4, used=50, readonly=False)
    return [root, Filesystem("/models", "", "", "models", problem="Stale file handle")]


def test_the_machine_is_read_once_and_what_can_be_read_is_told_in_both() -> None:
    """Also where one of the filesystems fails."""
    asked: list[None] = []

    def read() -> list[Filesystem]:
        asked.append(None)
        return filesystems()

    with pytest.raises(Failed) as failure:
        Bilingual(FilesystemCollector, read, filesystem_words).collect()
    values = values_of(failure.value.families)

    root = labels(device="/dev/sda1", fstype="ext4", mountpoint="/")
    assert len(asked) == 1
    assert by(values, "dpl_node_filesystem_avail_bytes", "mountpoint") == {"/": 40.0}
    assert {name: keys for name, keys in values.items() if name.startswith("node_")} == {
        "node_filesystem_size_bytes": {root: 100.0},
        "node_filesystem_free_bytes": {root: 50.0},
        "node_filesystem_avail_bytes": {root: 40.0},
        "node_filesystem_files": {root: 10.0},
        "node_filesystem_files_free": {root: 4.0},
        "node_filesystem_readonly": {root: 0.0},
    }


def test_a_mac_tells_its_memory_under_the_names_of_node_exporter_there() -> None:
    memory = replace(MEMORY, fields=parse_vm_stat(VM_STAT))

    values = values_of(memory_words(memory, "darwin"))

    told = {name.removeprefix("node_memory_"): only(values, name) for name in values}
    assert told == {
        "total_bytes": 100.0,
        "free_bytes": (4518 + 3014) * 16384.0,
        "active_bytes": 194947 * 16384.0,
        "inactive_bytes": 191193 * 16384.0,
        "wired_bytes": 159117 * 16384.0,
        "internal_bytes": 247311 * 16384.0,
        "purgeable_bytes": 630 * 16384.0,
        "compressed_bytes": 454496 * 16384.0,
        "swap_total_bytes": 10.0,
        "swap_used_bytes": 1.0,
        "swapped_in_bytes_total": 5 * 16384.0,
        "swapped_out_bytes_total": 6 * 16384.0,
    }


def test_a_mac_whose_vm_stat_fails_tells_what_it_knows() -> None:
    assert parse_vm_stat("") == {}
    assert set(values_of(memory_words(MEMORY, "darwin"))) == {
        *("node_memory_total_bytes", "node_memory_swap_total_bytes"),
        "node_memory_swap_used_bytes",
    }


def test_linux_tells_its_page_cache_without_what_slabs_could_give_back() -> None:
    """psutil's `cached` holds both, and dashboards add the second one themselves."""
    text = "MemTotal:  25 kB\nCached:  7 kB\nSReclaimable:  2 kB\nHugePages_Total:  3\n"

    values = values_of(memory_words(replace(MEMORY, fields=parse_meminfo(text)), "linux"))

    assert {name: only(values, name) for name in values} == {
        "node_memory_MemTotal_bytes": 25 * 1024.0,
        "node_memory_Cached_bytes": 7 * 1024.0,
        "node_memory_SReclaimable_bytes": 2 * 1024.0,
    }


def test_windows_tells_what_it_knows_under_the_names_of_linux() -> None:
    times = {"user": 2.0, "system": 3.0, "idle": 5.0, "interrupt": 0.5, "dpc": 0.25}

    memory = values_of(memory_words(MEMORY, "win32"))
    cpus = values_of(cpu_words(Cpu(times, 1, 1, [times]), Forward()))

    assert {name.removeprefix("node_memory_"): only(memory, name) for name in memory} == {
        "MemTotal_bytes": 100.0,
        "MemAvailable_bytes": 60.0,
        "SwapTotal_bytes": 10.0,
        "SwapFree_bytes": 9.0,
    }
    assert by(cpus, "node_cpu_seconds_total", "mode") == {"user": 2.0, "system": 3.0, "idle": 5.0}


def test_each_cpu_is_told_with_its_guests_as_node_exporter_does() -> None:
    each = [{"user": 4.0, "guest": 3.0, "idle": 6.0}, {"user": 1.0, "guest": 0.0, "idle": 9.0}]

    values = values_of(cpu_words(Cpu({}, 2, 2, each), Forward()))

    assert values["node_cpu_seconds_total"] == {
        labels(cpu="0", mode="user"): 4.0,
        labels(cpu="0", mode="idle"): 6.0,
        labels(cpu="1", mode="user"): 1.0,
        labels(cpu="1", mode="idle"): 9.0,
    }


def test_a_machine_with_very_many_cpus_keeps_its_page() -> None:
    """Prometheus drops one of more than 3,000 series whole."""
    times = dict.fromkeys(("user", "nice", "system", "idle", "iowait"), 1.0)

    values = values_of(cpu_words(Cpu({}, 896, 448, [times] * 896), Forward()))

    assert len(values["node_cpu_seconds_total"]) == 128 * 5


def test_a_name_that_holds_its_domain_is_taken_apart_where_the_system_has_no_other() -> None:
    mac = replace(MACHINE, system="Darwin", version="Darwin Kernel 25.1.0")
    linux = replace(MACHINE, system="Linux", domain="(none)")

    def named(machine: Machine) -> tuple[str, str]:
        values = values_of(machine_words(machine, lambda: 12.5))
        told = dict(next(iter(values["node_uname_info"])))
        assert only(values, "node_time_seconds") == 12.5
        assert [only(values, f"node_load{minutes}") for minutes in (1, 5, 15)] == [3.0, 2.0, 1.0]
        return told["nodename"], told["domainname"]

    assert named(mac) == ("mini", "home.arpa")
    assert named(replace(mac, hostname="mini")) == ("mini", "(none)")
    assert named(linux) == ("mini.home.arpa", "(none)")


def test_a_mac_tells_no_drops_that_nobody_counts() -> None:
    found, nobody = {"en0": DEVICE, "lo0": DEVICE}, re.compile("lo0")
    there = {name: replace(one, drops_out=None) for name, one in found.items()}

    mac = values_of(network_words(there, nobody))
    linux = values_of(network_words(found, nobody))

    assert linux.keys() - mac.keys() == {"node_network_transmit_drop_total"}
    assert by(linux, "node_network_transmit_drop_total", "device") == {"en0": 8.0}
    assert by(mac, "node_network_receive_drop_total", "device") == {"en0": 7.0}
    assert by(mac, "node_network_speed_bytes", "device") == {"en0": 125_000_000.0}
