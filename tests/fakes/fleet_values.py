"""How what a simulated exporter says moves: all of it follows from how busy the node is."""

from collections.abc import Callable, Mapping

from tests.fakes.fleet_laws import Labels, Law, LawOf, Wave, fixed, of_histogram
from tests.fakes.fleet_nodes import MODELS, Box

Table = Mapping[str, Callable[[Labels], Law]]
"""Name of a sample -> (its labels -> its law)."""
DISK = 1e12
BY_NAME = {model.name: model for model in MODELS}


def laws(box: Box, began: float) -> LawOf:
    """`began`: seconds since 1970 at t = 0."""
    table: Table = {
        **_times(box, began),
        **_host(box),
        **_disks(box),
        **_network(box),
        **_gpu(box),
        **_gpu_health(box, began),
        **_server(box),
        **_models(box, began),
        **_lease(box, began),
    }

    def law_of(name: str, labels: Labels) -> Law | None:
        if name.startswith("dpl_lock_hold_seconds"):
            return of_histogram(name, labels, box.running.scaled(0.05), 8.0)
        made = table.get(name)
        return made(labels) if made is not None else None

    return law_of


def _one(law: Law) -> Callable[[Labels], Law]:
    """The same whatever the labels are."""
    return lambda _: law


def _times(box: Box, began: float) -> Table:
    return {
        "dpl_node_time_seconds": _one(lambda t: began + t),
        "dpl_node_boot_time_seconds": _one(fixed(round(began - box.boot))),
        "dpl_exporter_collector_last_success_timestamp_seconds": _one(lambda t: began + t - 0.02),
        "dpl_exporter_collector_success": _one(fixed(1.0)),
        "dpl_exporter_collector_duration_seconds": _one(Wave(0.004, 0.002, 70).now),
        "dpl_node_info": _one(fixed(1.0)),
        "dpl_exporter_build_info": _one(fixed(1.0)),
        "dpl_node_filesystem_info": _one(fixed(1.0)),
    }


MODES = {"user": 0.6, "system": 0.25, "nice": 0.01, "softirq": 0.04, "iowait": 0.06, "irq": 0.02}
"""Parts of the time that the CPUs are not idle; steal is the rest."""


def _cpu_mode(box: Box) -> Callable[[Labels], Law]:
    used = box.busy.scaled(0.9 if box.machine.gpus == 0 else 0.4)

    def law(labels: Labels) -> Law:
        if labels["mode"] == "idle":
            return used.scaled(-box.machine.cpus, plus=box.machine.cpus).total
        return used.scaled(box.machine.cpus * MODES.get(labels["mode"], 0.02)).total

    return law


def _host(box: Box) -> Table:
    machine = box.machine
    used = box.busy.scaled(0.4 * machine.memory, plus=0.2 * machine.memory)
    load = box.busy.scaled(machine.cpus * 0.5)
    cores = {"logical": float(machine.cpus), "physical": machine.cpus / 2}
    return {
        "dpl_node_cpu_seconds_total": _cpu_mode(box),
        "dpl_node_cpus": lambda labels: fixed(cores[labels["kind"]]),
        "dpl_node_load1": _one(load.now),
        "dpl_node_load5": _one(load.scaled(0.95).now),
        "dpl_node_load15": _one(load.scaled(0.9).now),
        "dpl_node_memory_total_bytes": _one(fixed(machine.memory)),
        "dpl_node_memory_used_bytes": _one(used.now),
        "dpl_node_memory_available_bytes": _one(used.scaled(-1, plus=machine.memory).now),
        "dpl_node_swap_total_bytes": _one(fixed(8e9)),
        "dpl_node_swap_used_bytes": _one(box.busy.scaled(4e8).now),
        "dpl_node_swap_in_bytes_total": _one(Wave(2e3, 1e3).total),
        "dpl_node_swap_out_bytes_total": _one(Wave(3e3, 1e3).total),
        "dpl_node_pressure_waiting_seconds_total": _one(box.busy.scaled(0.08).total),
        "dpl_node_pressure_stalled_seconds_total": _one(box.busy.scaled(0.01).total),
        "dpl_node_temperature_celsius": _one(box.busy.scaled(30, plus=38).now),
        "dpl_node_slots": _one(fixed(float(machine.slots))),
    }


def _space_left(box: Box) -> Callable[[Labels], Law]:
    """The disk that fills up loses 20 MB/s, and is full in some hours."""

    def law(labels: Labels) -> Law:
        if labels["mountpoint"] == "/models" and box.trouble == "disk":
            return lambda t: max(0.0, 0.18 * DISK - 2e7 * t)
        return box.busy.scaled(-1e9, plus=0.55 * DISK).now

    return law


def _disks(box: Box) -> Table:
    reads, writes = box.busy.scaled(4e7), box.busy.scaled(1.5e7)
    return {
        "dpl_node_disk_read_bytes_total": _one(reads.total),
        "dpl_node_disk_written_bytes_total": _one(writes.total),
        "dpl_node_disk_reads_completed_total": _one(reads.scaled(1 / 65536).total),
        "dpl_node_disk_writes_completed_total": _one(writes.scaled(1 / 32768).total),
        "dpl_node_disk_read_time_seconds_total": _one(box.busy.scaled(0.1).total),
        "dpl_node_disk_write_time_seconds_total": _one(box.busy.scaled(0.06).total),
        "dpl_node_disk_io_time_seconds_total": _one(box.busy.scaled(0.15).total),
        "dpl_node_filesystem_size_bytes": _one(fixed(DISK)),
        "dpl_node_filesystem_avail_bytes": _space_left(box),
        "dpl_node_filesystem_files": _one(fixed(6.1e7)),
        "dpl_node_filesystem_files_free": _one(fixed(5.6e7)),
    }


def _network(box: Box) -> Table:
    received, sent = box.busy.scaled(3e6), box.busy.scaled(9e6)
    return {
        "dpl_node_network_receive_bytes_total": _one(received.total),
        "dpl_node_network_transmit_bytes_total": _one(sent.total),
        "dpl_node_network_receive_packets_total": _one(received.scaled(1 / 900).total),
        "dpl_node_network_transmit_packets_total": _one(sent.scaled(1 / 1100).total),
        "dpl_node_network_receive_errors_total": _one(Wave(0.002, 0.001).total),
        "dpl_node_network_transmit_errors_total": _one(Wave(0.001, 0.0005).total),
        "dpl_node_network_receive_drops_total": _one(Wave(0.01, 0.005).total),
        "dpl_node_network_transmit_drops_total": _one(Wave(0.002, 0.001).total),
        "dpl_node_network_up": _one(fixed(1.0)),
        "dpl_node_network_speed_bytes": _one(fixed(1.25e8)),
    }


def _gpu(box: Box) -> Table:
    machine = box.machine
    idle, full = machine.watts
    held = sum(model.size for model in machine.loaded) * 1.15 / max(1, machine.gpus)
    watts = box.busy.scaled(full - idle, plus=idle)
    degrees = box.busy.scaled(8, plus=81) if box.trouble == "hot" else box.busy.scaled(35, plus=36)
    clock = box.busy.scaled(7e8, plus=1.4e9)
    domains = {"sm": clock.now, "memory": fixed(9.5e9)}
    own = min(held, 0.7 * machine.gpu_memory)
    return {
        "dpl_gpu_info": _one(fixed(1.0)),
        "dpl_gpu_utilization_ratio": _one(box.busy.now),
        "dpl_gpu_memory_copy_utilization_ratio": _one(box.busy.scaled(0.7).now),
        "dpl_gpu_memory_total_bytes": _one(fixed(machine.gpu_memory)),
        "dpl_gpu_memory_used_bytes": _one(box.busy.scaled(2e9, plus=own).now),
        "dpl_gpu_foreign_memory_used_bytes": _one(fixed(1.2e9 if box.kind == "pc" else 0.0)),
        "dpl_gpu_temperature_celsius": _one(degrees.now),
        "dpl_gpu_energy_joules_total": _one(watts.total),
        "dpl_gpu_power_watts": _one(watts.now),
        "dpl_gpu_power_limit_watts": _one(fixed(full * 1.1)),
        "dpl_gpu_clock_hertz": lambda labels: domains[labels["domain"]],
        "dpl_gpu_fan_speed_ratio": _one(box.busy.scaled(0.5, plus=0.3).now),
        "dpl_gpu_pcie_receive_bytes_per_second": _one(box.busy.scaled(4e8).now),
        "dpl_gpu_pcie_transmit_bytes_per_second": _one(box.busy.scaled(1e8).now),
    }


def _throttled(box: Box) -> Callable[[Labels], Law]:
    """Seconds a second, by reason."""
    held = {"sw_power": 0.05, "sw_thermal": 0.0}
    if box.trouble == "hot":
        held = {"sw_power": 0.1, "sw_thermal": 0.45, "hw_thermal": 0.15}
    return lambda labels: box.busy.scaled(held.get(labels["reason"], 0.0)).total


def _gpu_health(box: Box, began: float) -> Table:
    def ours(labels: Labels) -> bool:
        return box.trouble == "xid" and labels["gpu"] == "0"

    hot = {"sw_thermal", "hw_thermal"} if box.trouble == "hot" else set()
    return {
        "dpl_gpu_throttled_seconds_total": _throttled(box),
        "dpl_gpu_clock_event_active": lambda labels: fixed(float(labels["reason"] in hot)),
        "dpl_gpu_xid_errors_total": lambda labels: fixed(float(ours(labels))),
        "dpl_gpu_xid_last_timestamp_seconds": lambda labels: fixed(
            began if ours(labels) else began - 9e5
        ),
        "dpl_gpu_recovery_action": _one(fixed(0.0)),
        "dpl_gpu_pcie_replays_total": _one(Wave(0.01, 0.005).total),
        "dpl_gpu_row_remap_pending": _one(fixed(0.0)),
    }


def _server(box: Box) -> Table:
    held = sum(model.size for model in box.machine.loaded)
    return {
        "dpl_llm_probe_duration_seconds": _one(box.busy.scaled(0.02, plus=0.003).now),
        "dpl_llm_process_resident_memory_bytes": _one(box.busy.scaled(1e9, plus=held * 0.3).now),
        "dpl_llm_process_cpu_seconds_total": _one(box.busy.scaled(1.5).total),
    }


def _models(box: Box, began: float) -> Table:
    loaded = {model.name for model in box.machine.loaded}
    on_gpu = 0.0 if box.machine.gpus == 0 else 0.7 if box.trouble == "split" else 1.0

    def law(value: Callable[[str], Law]) -> Callable[[Labels], Law]:
        return lambda labels: value(labels["model"])

    def running(model: str) -> Law:
        return lambda t: round(box.running.now(t) * box.serves(model))

    return {
        "dpl_llm_model_loaded": law(lambda name: fixed(float(name in loaded))),
        "dpl_llm_model_size_bytes": law(lambda name: fixed(BY_NAME[name].size)),
        "dpl_llm_model_memory_bytes": law(lambda name: fixed(BY_NAME[name].size * 1.15)),
        "dpl_llm_model_gpu_memory_bytes": law(
            lambda name: fixed(BY_NAME[name].size * 1.15 * on_gpu)
        ),
        "dpl_llm_model_context_tokens": law(lambda name: fixed(BY_NAME[name].context)),
        "dpl_llm_model_context_max_tokens": law(lambda name: fixed(BY_NAME[name].context_max)),
        "dpl_llm_model_expires_timestamp_seconds": _one(lambda t: began + t + 290.0),
        "dpl_llm_model_loads_total": _one(Wave(1 / 900, 1 / 1800).total),
        "dpl_llm_model_unloads_total": _one(Wave(1 / 1000, 1 / 2000).total),
        "dpl_llm_requests_running": law(running),
        "dpl_llm_requests_waiting": _one(lambda t: round(max(0.0, box.busy.now(t) - 0.6) * 5)),
    }


def _lease(box: Box, began: float) -> Table:
    slots = float(box.machine.slots)
    alone = box.trouble == "exclusive"
    leased = box.kind not in ("cpu", "mac") or alone

    def in_use(t: float) -> float:
        return slots if alone else max(1.0, round(box.running.now(t))) if leased else 0.0

    given = {"granted": 0.05, "conflict": 0.004}
    ended = {"client": 0.048, "expired": 0.002}
    return {
        "dpl_lock_held": _one(fixed(float(leased))),
        "dpl_lock_exclusive": _one(fixed(float(alone))),
        "dpl_lock_slots": _one(fixed(slots)),
        "dpl_lock_slots_in_use": _one(in_use),
        "dpl_lock_lease_expires_timestamp_seconds": _one(lambda t: began + t + 25.0),
        "dpl_lock_fencing_token": _one(lambda t: float(int((began + t // 20 * 20) * 1e6))),
        "dpl_lock_state_persistent": _one(fixed(1.0)),
        "dpl_lock_acquisitions_total": lambda labels: (
            box.running.scaled(given[labels["result"]]).total
        ),
        "dpl_lock_releases_total": lambda labels: (
            box.running.scaled(ended.get(labels["reason"], 0.0)).total
        ),
        "dpl_lock_stale_rejected_total": _one(Wave(0.0005, 0.0002).total),
    }
