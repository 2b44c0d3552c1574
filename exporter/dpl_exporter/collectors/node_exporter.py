"""What some collectors read, told a second time in node_exporter's words: `--compat=node_exporter`.

Only families that its dashboards ask for and that are in the readings, each with the name, kind,
labels and help of node_exporter 1.5 to 1.12. What a reading lacks is absent, never 0. Its kind is
in its name: counters, and only they, end in _total.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from dpl_exporter.collectors.base import clean
from dpl_exporter.collectors.cpu import Cpu, Forward
from dpl_exporter.collectors.disk import Disk, seconds, told_disks
from dpl_exporter.collectors.filesystem import Filesystem
from dpl_exporter.collectors.machine import Machine
from dpl_exporter.collectors.memory import Memory
from dpl_exporter.collectors.network import Device, speed, told_devices
from dpl_exporter.collectors.pressure import Pressure

MOST_CPUS = 128
"""Eight series each, and Prometheus drops a page of more than 3,000 whole."""

R = TypeVar("R")
L = TypeVar("L", bound=tuple[str, ...])
Words = Sequence[tuple[str, str, Callable[[R], float | None]]]
"""Name after `node_`, help, and where in the reading it is."""


def told(words: Words[R], readings: Mapping[L, R], labels: Sequence[str] = ()) -> Iterable[Metric]:
    """A family for each word; `readings` are by the values of `labels`."""
    for name, text, pick in words:
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        family = kind(f"node_{name}", text, labels=labels)
        for values, reading in readings.items():
            value = pick(reading)
            if value is not None:
                family.add_metric([clean(one) for one in values], value)
        if family.samples:
            yield family


def machine_words(machine: Machine, wall: Callable[[], float]) -> Iterable[Metric]:
    """`node_uname_info` names the network as node_exporter does where the system has no word."""
    host, _, rest = machine.hostname.partition(".")
    uname = {
        "sysname": machine.system,
        "release": machine.kernel,
        "version": machine.version,
        "machine": machine.arch,
        "nodename": host if machine.domain is None else machine.hostname,
        "domainname": (rest or "(none)") if machine.domain is None else machine.domain,
    }
    yield from told(_MACHINE, {(): machine})
    yield from told(_CLOCK, {(): wall()})
    yield from told(_UNAME, {tuple(uname.values()): machine}, tuple(uname))


def cpu_words(cpu: Cpu, forward: Forward) -> Iterable[Metric]:
    """CPUs have psutil's order as number. Guests are in user and nice, as node_exporter has it."""
    readings = {
        (str(number), mode): modes[mode]
        for number, modes in enumerate(cpu.each[:MOST_CPUS])
        for mode in CPU_MODES
        if mode in modes
    }
    return told(_CPU, forward.of(readings), ("cpu", "mode"))


def memory_words(memory: Memory, platform: str) -> Iterable[Metric]:
    """`platform` is sys.platform: Linux and macOS have names of their own, others Linux's."""
    return told(_MEMORY.get(platform, _MEMORY_ELSEWHERE), {(): memory})


def disk_words(disks: Mapping[str, Disk]) -> Iterable[Metric]:
    return told(_DISK, {(name,): one for name, one in told_disks(disks).items()}, ("device",))


def filesystem_words(found: Sequence[Filesystem]) -> Iterable[Metric]:
    readings = {(one.device, one.fstype, one.mountpoint): one for one in found}
    return told(_FILESYSTEM, readings, ("device", "fstype", "mountpoint"))


def network_words(found: Mapping[str, Device], ignore: re.Pattern[str]) -> Iterable[Metric]:
    devices = {(name,): one for name, one in told_devices(ignore, found).items()}
    return told(_NETWORK, devices, ("device",))


def pressure_words(pressures: Mapping[str, Pressure]) -> Iterable[Metric]:
    return told(_PRESSURE, {(): pressures})


def _field(name: str) -> Callable[[Memory], float | None]:
    return lambda memory: memory.fields.get(name)


def _memory_word(
    name: str, pick: Callable[[Memory], float | None]
) -> tuple[str, str, Callable[[Memory], float | None]]:
    return f"memory_{name}", f"Memory information field {name}.", pick


def _free_pages(memory: Memory) -> float | None:
    """macOS counts speculative pages as free; vm_stat tells them apart."""
    free, more = memory.fields.get("Pages free"), memory.fields.get("Pages speculative")
    return None if free is None or more is None else free + more


def _waiting(resource: str) -> Callable[[Mapping[str, Pressure]], float | None]:
    return lambda found: found[resource].waiting if resource in found else None


def _stalled(resource: str) -> Callable[[Mapping[str, Pressure]], float | None]:
    return lambda found: found[resource].stalled if resource in found else None


CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""On Windows `system` holds interrupt and dpc, so that those would count twice."""
_MACHINE: Words[Machine] = (
    ("boot_time_seconds", "Node boot time, in unixtime.", lambda m: m.boot),
    ("load1", "1m load average.", lambda m: m.load and m.load[0]),
    ("load5", "5m load average.", lambda m: m.load and m.load[1]),
    ("load15", "15m load average.", lambda m: m.load and m.load[2]),
)
_CLOCK: Words[float] = (
    ("time_seconds", "System time in seconds since epoch (1970).", lambda now: now),
)
_UNAME: Words[Machine] = (
    (
        "uname_info",
        "Labeled system information as provided by the uname system call.",
        lambda _machine: 1.0,
    ),
)
_CPU: Words[float] = (
    ("cpu_seconds_total", "Seconds the CPUs spent in each mode.", lambda spent: spent),
)
_MEMORY: Mapping[str, Words[Memory]] = {
    "linux": [
        _memory_word(f"{name}_bytes", _field(name))
        for name in (
            *("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Active", "Inactive"),
            *("Shmem", "Slab", "SReclaimable", "SUnreclaim", "PageTables"),
            *("SwapTotal", "SwapFree", "SwapCached"),
        )
    ],
    "darwin": (
        _memory_word("total_bytes", lambda m: m.total),
        _memory_word("free_bytes", _free_pages),
        _memory_word("active_bytes", _field("Pages active")),
        _memory_word("inactive_bytes", _field("Pages inactive")),
        _memory_word("wired_bytes", _field("Pages wired down")),
        _memory_word("internal_bytes", _field("Anonymous pages")),
        _memory_word("purgeable_bytes", _field("Pages purgeable")),
        _memory_word("compressed_bytes", _field("Pages occupied by compressor")),
        _memory_word("swap_total_bytes", lambda m: m.swap_total),
        _memory_word("swap_used_bytes", lambda m: m.swap_used),
        _memory_word("swapped_in_bytes_total", _field("Pageins")),  # which is no swap; its word
        _memory_word("swapped_out_bytes_total", _field("Pageouts")),
    ),
}
_MEMORY_ELSEWHERE: Words[Memory] = (
    _memory_word("MemTotal_bytes", lambda m: m.total),
    _memory_word("MemAvailable_bytes", lambda m: m.available),
    _memory_word("SwapTotal_bytes", lambda m: m.swap_total),
    _memory_word("SwapFree_bytes", lambda m: m.swap_total - m.swap_used),
)
_DISK: Words[Disk] = (
    (
        "disk_read_bytes_total",
        "The total number of bytes read successfully.",
        lambda d: d.read_bytes,
    ),
    (
        "disk_written_bytes_total",
        "The total number of bytes written successfully.",
        lambda d: d.write_bytes,
    ),
    (
        "disk_reads_completed_total",
        "The total number of reads completed successfully.",
        lambda d: d.read_count,
    ),
    (
        "disk_writes_completed_total",
        "The total number of writes completed successfully.",
        lambda d: d.write_count,
    ),
    (
        "disk_read_time_seconds_total",
        "The total number of seconds spent by all reads.",
        lambda d: seconds(d.read_time),
    ),
    (
        "disk_write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        lambda d: seconds(d.write_time),
    ),
    (
        "disk_io_time_seconds_total",
        "Total seconds spent doing I/Os.",
        lambda d: seconds(d.busy_time),
    ),
)
_FILESYSTEM: Words[Filesystem] = (
    ("filesystem_size_bytes", "Filesystem size in bytes.", lambda f: f.size),
    (
        "filesystem_free_bytes",
        "Filesystem free space in bytes.",
        lambda f: None if f.size is None or f.used is None else f.size - f.used,
    ),
    (
        "filesystem_avail_bytes",
        "Filesystem space available to non-root users in bytes.",
        lambda f: f.available,
    ),
    ("filesystem_files", "Filesystem total file nodes.", lambda f: f.files),
    ("filesystem_files_free", "Filesystem total free file nodes.", lambda f: f.files_free),
    ("filesystem_readonly", "Filesystem read-only status.", lambda f: f.readonly),
)
_STATISTICS: Sequence[tuple[str, Callable[[Device], float | None]]] = (
    ("receive_bytes", lambda d: d.received),
    ("transmit_bytes", lambda d: d.sent),
    ("receive_packets", lambda d: d.packets_received),
    ("transmit_packets", lambda d: d.packets_sent),
    ("receive_errs", lambda d: d.errors_in),
    ("transmit_errs", lambda d: d.errors_out),
    ("receive_drop", lambda d: d.drops_in),
    ("transmit_drop", lambda d: d.drops_out),
)
_NETWORK: Words[Device] = (
    *(
        (f"network_{name}_total", f"Network device statistic {name}.", pick)
        for name, pick in _STATISTICS
    ),
    ("network_speed_bytes", "Network device property: speed_bytes", speed),
)
_PRESSURE: Words[Mapping[str, Pressure]] = (
    (
        "pressure_cpu_waiting_seconds_total",
        "Total time in seconds that processes have waited for CPU time",
        _waiting("cpu"),
    ),
    (
        "pressure_io_waiting_seconds_total",
        "Total time in seconds that processes have waited due to IO congestion",
        _waiting("io"),
    ),
    (
        "pressure_io_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IO congestion",
        _stalled("io"),
    ),
    (
        "pressure_memory_waiting_seconds_total",
        "Total time in seconds that processes have waited for memory",
        _waiting("memory"),
    ),
    (
        "pressure_memory_stalled_seconds_total",
        "Total time in seconds no process could make progress due to memory congestion",
        _stalled("memory"),
    ),
)
