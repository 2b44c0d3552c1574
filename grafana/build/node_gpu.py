"""dpl-node, the row of one GPU."""

from grafana.build.limits import limit
from grafana.build.panels import lines, stacked
from grafana.build.parts import YES_IS_BAD, Query, above
from grafana.build.sdk import dashboard, units
from grafana.build.tables import Column, rows


def one_gpu() -> list[dashboard.Panel]:
    used = "max by (node, gpu) (node_gpu:dpl_gpu_memory_used:bytes{@gpu})"
    foreign = "max by (node, gpu) (dpl_gpu_foreign_memory_used_bytes{@gpu})"
    return [
        lines(
            "GPU busy",
            "Share of time a kernel ran.",
            Query("max by (node, gpu) (node_gpu:dpl_gpu_utilization:ratio{@gpu})", "{{node}}"),
            unit=units.PercentUnit,
        ),
        stacked(
            "GPU memory",
            "Of the model servers, of other processes (a person uses the machine), and free.",
            Query(f"clamp_min({used} - ({foreign} or {used} * 0), 0)", "{{node}} models"),
            Query(f"{foreign}", "{{node}} others"),
            Query(
                f"max by (node, gpu) (node_gpu:dpl_gpu_memory_total:bytes{{@gpu}}) - {used}",
                "{{node}} free",
            ),
            unit=units.BytesIEC,
        ),
        lines(
            "GPU temperature",
            "With the point at which the card slows itself down.",
            Query(
                "max by (node, gpu, sensor) (dpl_gpu_temperature_celsius{@gpu})",
                "{{node}} {{sensor}}",
            ),
            Query(
                "max by (node, gpu) (dpl_gpu_temperature_slowdown_celsius{@gpu})",
                "{{node}} slows down",
            ),
            unit=units.Celsius,
        ),
        lines(
            "GPU power",
            "With the limit that is set.",
            Query("max by (node, gpu) (dpl_gpu_power_watts{@gpu})", "{{node}}"),
            Query("max by (node, gpu) (dpl_gpu_power_limit_watts{@gpu})", "{{node}} limit"),
            unit=units.Watt,
        ),
        lines(
            "GPU clock",
            "Of the highest that the card can.",
            Query(
                "max by (node, gpu, domain) (dpl_gpu_clock_hertz{@gpu})"
                " / max by (node, gpu, domain) (dpl_gpu_clock_max_hertz{@gpu})",
                "{{node}} {{domain}}",
            ),
            unit=units.PercentUnit,
        ),
        lines(
            "GPU held down",
            "Share of time the clock was held down, by reason. The line is the one for heat.",
            Query(
                "max by (node, gpu, reason) "
                "(rate(dpl_gpu_throttled_seconds_total{@gpu}[$__rate_interval]))",
                "{{node}} {{reason}}",
            ),
            unit=units.PercentUnit,
            limits=above(limit("DplGpuThermalThrottled", "dpl_gpu_throttled_seconds_total")),
        ),
        rows(
            "Driver errors (Xid)",
            "Each class seen since the exporter started, and when last. See DplGpuXidCritical.",
            Column(
                "Last",
                "max by (node, gpu, xid) (dpl_gpu_xid_last_timestamp_seconds{@gpu}) * 1000",
                units.DateTimeFromNow,
            ),
            labels={"node": "Node", "gpu": "GPU", "xid": "Xid"},
            width=8,
        ),
        rows(
            "Health of the card",
            "Memory errors that were not corrected (new ones in the time shown), rows to "
            "remap (pending, failed), and what recovery the driver asks for (0: none).",
            Column(
                "ECC errors",
                "max by (node, gpu) (increase("
                'dpl_gpu_ecc_errors_total{@gpu,severity="uncorrected"}[$__range]))',
            ),
            Column(
                "Pending",
                "max by (node, gpu) (dpl_gpu_row_remap_pending{@gpu})",
                mapped=YES_IS_BAD,
            ),
            Column(
                "Failed",
                "max by (node, gpu) (dpl_gpu_row_remap_failure{@gpu})",
                mapped=YES_IS_BAD,
            ),
            Column("Recovery", "max by (node, gpu) (dpl_gpu_recovery_action{@gpu})"),
            labels={"node": "Node", "gpu": "GPU"},
            width=8,
        ),
        lines(
            "PCIe lanes",
            "In use, of those that card and slot have. A card in a slot of one lane shows here.",
            Query(
                'max by (node, gpu) (dpl_gpu_pcie_link_width{@gpu,bound="current"})'
                ' / max by (node, gpu) (dpl_gpu_pcie_link_width{@gpu,bound="max"})',
                "{{node}}",
            ),
            unit=units.PercentUnit,
        ),
    ]
