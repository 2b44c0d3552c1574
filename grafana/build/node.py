"""dpl-node: one machine from its iron to its models, and why it is chosen or not."""

from grafana.build import common, node_gpu, node_work
from grafana.build.board import Board, gpu, node
from grafana.build.limits import limit
from grafana.build.panels import lines
from grafana.build.parts import Query, above, below
from grafana.build.sdk import dashboard, units
from grafana.build.tables import Column, rows

DAY = 24 * 3600


def board() -> Board:
    page = Board("node", "Node", "One machine, or several beside each other.", node(), gpu())
    page.row("Node", common.node_states("node"), height=5)
    page.more(*identity(), height=5)
    page.row("CPU and memory", *cpu_and_memory())
    page.row("Network and disk", *network_and_disk())
    page.row("GPU $gpu", *node_gpu.one_gpu(), repeat="gpu")
    page.row("Models", *node_work.models())
    page.row("Load, as people read it", *node_work.load())
    page.row("Leases and exporter", *node_work.leases_and_exporter())
    return page


def identity() -> list[dashboard.Panel]:
    return [
        rows(
            "Machine",
            "What it is, and since when it runs.",
            Column(
                "Memory",
                "max by (node) (dpl_node_memory_total_bytes{@node})",
                units.BytesIEC,
            ),
            Column("CPUs", 'max by (node) (dpl_node_cpus{@node,kind="logical"})'),
            Column(
                "Started",
                "max by (node) (dpl_node_boot_time_seconds{@node}) * 1000",
                units.DateTimeFromNow,
            ),
            Column("", "max by (node, os, arch, cpu_model, kernel) (dpl_node_info{@node})"),
            labels={
                "node": "Node",
                "os": "System",
                "arch": "Type",
                "cpu_model": "CPU",
                "kernel": "Kernel",
            },
        ),
        rows(
            "GPUs",
            "Identity and memory of each card.",
            Column(
                "Memory",
                "max by (node, gpu) (node_gpu:dpl_gpu_memory_total:bytes{@gpu})",
                units.BytesIEC,
            ),
            Column("", "max by (node, gpu, name, vendor, driver_version) (dpl_gpu_info{@gpu})"),
            labels={
                "node": "Node",
                "gpu": "GPU",
                "name": "Card",
                "vendor": "Make",
                "driver_version": "Driver",
            },
        ),
    ]


def cpu_and_memory() -> list[dashboard.Panel]:
    return [
        lines(
            "CPU busy",
            "All CPUs together, over a minute.",
            Query("max by (node) (node:dpl_node_cpu_utilization:ratio_rate1m{@node})", "{{node}}"),
            unit=units.PercentUnit,
            limits=above(
                limit("DplNodeCpuSaturated", "node:dpl_node_cpu_utilization:ratio_rate1m")
            ),
        ),
        lines(
            "Waiting for CPU, memory, disk",
            "Pressure: share of time in which a task waited. Linux only.",
            Query(
                "max by (node, resource) "
                "(rate(dpl_node_pressure_waiting_seconds_total{@node}[$__rate_interval]))",
                "{{node}} {{resource}}",
            ),
            unit=units.PercentUnit,
        ),
        lines(
            "Load per CPU",
            "Run queue over a minute; above 1 tasks wait.",
            Query(
                "max by (node) (dpl_node_load1{@node})"
                ' / max by (node) (dpl_node_cpus{@node,kind="logical"})',
                "{{node}}",
            ),
            unit=units.Short,
        ),
        lines(
            "Memory in use",
            "Of the whole machine.",
            Query("max by (node) (node:dpl_node_memory_utilization:ratio{@node})", "{{node}}"),
            unit=units.PercentUnit,
            limits=above(limit("DplNodeMemoryPressure", "node:dpl_node_memory_utilization:ratio")),
        ),
        lines(
            "Swap traffic",
            "Pages read back and written out; steady reading means too little memory.",
            Query(
                "max by (node) (rate(dpl_node_swap_in_bytes_total{@node}[$__rate_interval]))",
                "{{node}} in",
            ),
            Query(
                "max by (node) (rate(dpl_node_swap_out_bytes_total{@node}[$__rate_interval]))",
                "{{node}} out",
            ),
            unit=units.BytesPerSecondSI,
            limits=above(limit("DplNodeMemoryPressure", "dpl_node_swap_in_bytes_total")),
        ),
        lines(
            "Model server",
            "Memory of its processes.",
            Query(
                "max by (node, backend) (dpl_llm_process_resident_memory_bytes{@node})",
                "{{node}} {{backend}}",
            ),
            unit=units.BytesIEC,
        ),
    ]


def network_and_disk() -> list[dashboard.Panel]:
    received = "dpl_node_network_receive_bytes_total{@node}[$__rate_interval]"
    sent = "dpl_node_network_transmit_bytes_total{@node}[$__rate_interval]"
    return [
        lines(
            "Network traffic",
            "Per card, in bits.",
            Query(f"8 * sum by (node, device) (rate({received}))", "{{node}} {{device}} in"),
            Query(f"8 * sum by (node, device) (rate({sent}))", "{{node}} {{device}} out"),
            unit=units.BitsPerSecondSI,
        ),
        lines(
            "Use of the link",
            "The busier direction, of the link's speed. Absent where the card does not tell it.",
            Query(
                f"max by (node, device) (rate({received}) > rate({sent}) or rate({sent}))"
                " / max by (node, device) (dpl_node_network_speed_bytes{@node})",
                "{{node}} {{device}}",
            ),
            unit=units.PercentUnit,
        ),
        lines(
            "Packets with errors",
            "Share of all packets, both directions.",
            Query(
                "sum by (node, device) ("
                "rate(dpl_node_network_receive_errors_total{@node}[$__rate_interval])"
                " + rate(dpl_node_network_transmit_errors_total{@node}[$__rate_interval]))"
                " / (sum by (node, device) ("
                "rate(dpl_node_network_receive_packets_total{@node}[$__rate_interval])"
                " + rate(dpl_node_network_transmit_packets_total{@node}[$__rate_interval])) > 0)",
                "{{node}} {{device}}",
            ),
            unit=units.PercentUnit,
            limits=above(limit("DplNetworkErrors", "dpl_node_network_receive_errors_total")),
        ),
        lines(
            "Disk traffic",
            "Whole disks.",
            Query(
                "sum by (node, device) "
                "(rate(dpl_node_disk_read_bytes_total{@node}[$__rate_interval]))",
                "{{node}} {{device}} read",
            ),
            Query(
                "sum by (node, device) "
                "(rate(dpl_node_disk_written_bytes_total{@node}[$__rate_interval]))",
                "{{node}} {{device}} written",
            ),
            unit=units.BytesPerSecondSI,
        ),
        lines(
            "Disk busy",
            "Share of time in which the disk worked. Linux only.",
            Query(
                "max by (node, device) "
                "(rate(dpl_node_disk_io_time_seconds_total{@node}[$__rate_interval]))",
                "{{node}} {{device}}",
            ),
            unit=units.PercentUnit,
        ),
        lines(
            "Disk space left",
            "Now, and in a day if it goes on like the last six hours.",
            Query(
                "max by (node, mountpoint) (dpl_node_filesystem_avail_bytes{@node})"
                " / max by (node, mountpoint) (dpl_node_filesystem_size_bytes{@node})",
                "{{node}} {{mountpoint}}",
            ),
            Query(
                "clamp(max by (node, mountpoint) "
                f"(predict_linear(dpl_node_filesystem_avail_bytes{{@node}}[6h], {DAY}))"
                " / max by (node, mountpoint) (dpl_node_filesystem_size_bytes{@node}), 0, 1)",
                "{{node}} {{mountpoint}} in a day",
            ),
            unit=units.PercentUnit,
            limits=below(limit("DplFilesystemAlmostFull", "dpl_node_filesystem_avail_bytes")),
        ),
    ]
