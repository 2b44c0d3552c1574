"""dpl-node, what the machine does for the fleet: models, load, leases, exporter."""

from grafana.build import common
from grafana.build.limits import limit, weights
from grafana.build.panels import lines, stacked, states
from grafana.build.parts import BAD, BUSY, GOOD, NONE, Mapped, Query, above
from grafana.build.sdk import dashboard, units
from grafana.build.tables import Column, rows

LOCK: Mapped = {0: ("free", NONE), 1: ("held", GOOD), 2: ("exclusive", BUSY)}
WORKS: Mapped = {0: ("fails", BAD), 1: ("works", GOOD)}


def models() -> list[dashboard.Panel]:
    by = "max by (node, model)"
    return [
        rows(
            "Models",
            "Installed and loaded; how much of each is on the GPU, and when it will be unloaded.",
            Column(
                "Loaded",
                f"{by} (dpl_llm_model_loaded{{@node}})",
                mapped={0: ("no", NONE), 1: ("yes", GOOD)},
            ),
            Column("Size", f"{by} (dpl_llm_model_size_bytes{{@node}})", units.BytesIEC),
            Column(
                "On GPU",
                f"{by} (dpl_llm_model_gpu_memory_bytes{{@node}})"
                f" / {by} (dpl_llm_model_memory_bytes{{@node}})",
                units.PercentUnit,
            ),
            Column("Context", f"{by} (dpl_llm_model_context_tokens{{@node}})"),
            Column(
                "Unloaded",
                f"{by} (dpl_llm_model_expires_timestamp_seconds{{@node}}) * 1000",
                units.DateTimeFromNow,
            ),
            Column(
                "",
                "max by (node, model, quantization, parameter_size) (dpl_llm_model_info{@node})",
            ),
            labels={
                "node": "Node",
                "model": "Model",
                "parameter_size": "Parameters",
                "quantization": "Quantisation",
            },
            width=16,
            links={"Model": common.MODEL_URL},
        ),
        lines(
            "Loads and unloads",
            "In the time of a scrape or two; many of both: models push each other out.",
            Query(
                "sum by (node) (increase(dpl_llm_model_loads_total{@node}[$__rate_interval]))",
                "{{node}} loads",
            ),
            Query(
                "sum by (node) (increase(dpl_llm_model_unloads_total{@node}[$__rate_interval]))",
                "{{node}} unloads",
            ),
            unit=units.Short,
        ),
    ]


def load() -> list[dashboard.Panel]:
    requests, work, memory, cpu = weights("node:dpl_load:ratio")
    cpu_busy = "max by (node) (node:dpl_node_cpu_utilization:ratio_rate1m{@node})"
    return [
        stacked(
            "What the load is made of",
            "The four terms of node:dpl_load:ratio, mean over the nodes chosen; the score is this "
            "plus the tier. A term that nobody measures is 0.",
            Query(f"{requests:g} * avg(node:dpl_llm_concurrency:ratio{{@node}})", "requests"),
            Query(
                f"{work:g} * avg(max by (node) (node:dpl_gpu_utilization:avg{{@node}})"
                f" or {cpu_busy})",
                "GPU (else CPU)",
            ),
            Query(
                f"{memory:g} * avg(max by (node) (node:dpl_llm_kv_cache_utilization:max{{@node}})"
                " or max by (node) (node:dpl_gpu_memory_utilization:ratio{@node})"
                " or max by (node) (node:dpl_node_memory_utilization:ratio{@node}))",
                "memory",
            ),
            Query(f"{cpu:g} * avg({cpu_busy})", "CPU"),
            unit=units.PercentUnit,
        ),
        lines(
            "Load score",
            "0 loaded on a GPU, 1 a GPU that must load it, 2 loaded on a CPU, 3 a CPU that must "
            "load it, plus the load. No line: the node is not eligible.",
            Query("max by (node, model) (node_model:dpl_load:score{@node})", "{{node}} {{model}}"),
            unit=units.NoUnit,
        ),
        lines(
            "Requests of the router",
            "Open at the node.",
            Query(
                "sum by (node, model) (dpl_router_upstream_in_flight{@node})",
                "{{node}} {{model}}",
            ),
            unit=units.Short,
        ),
        lines(
            "Answers of the node",
            "By outcome.",
            Query(
                "sum by (node, outcome) "
                "(rate(dpl_router_upstream_requests_total{@node}[$__rate_interval]))",
                "{{node}} {{outcome}}",
            ),
            unit=units.RequestsPerSecond,
        ),
        lines(
            "Tokens of the node",
            "Output, per second.",
            Query(
                "sum by (node, model) "
                "(rate(dpl_router_upstream_output_tokens_total{@node}[$__rate_interval]))",
                "{{node}} {{model}}",
            ),
            unit=units.Short,
        ),
        common.joules_per_token("Joules per token", "node"),
    ]


def leases_and_exporter() -> list[dashboard.Panel]:
    return [
        states(
            "Lease",
            "Held: a router or a person has places. Exclusive: one holder has the whole node.",
            Query(
                "max by (node) (dpl_lock_held{@node}) + max by (node) (dpl_lock_exclusive{@node})",
                "{{node}}",
            ),
            mapped=LOCK,
            width=8,
        ),
        states(
            "Collectors",
            "Whether each part of the exporter works; one that fails tells old values for 30 s.",
            Query(
                "min by (node, collector) (dpl_exporter_collector_success{@node})",
                "{{node}} {{collector}}",
            ),
            mapped=WORKS,
            width=8,
        ),
        lines(
            "Age of the facts",
            "Of the oldest GPU or model collector, by the node's own clock. Past the line the "
            "router does not use the node.",
            Query("max by (node) (node:dpl_collector_age_seconds:max{@node})", "{{node}}"),
            unit=units.Seconds,
            limits=above(limit("DplCollectorStuck", "node:dpl_collector_age_seconds:max")),
        ),
        lines(
            "Places leased",
            "Of those that the node has.",
            Query("max by (node) (dpl_lock_slots_in_use{@node})", "{{node}} leased"),
            Query("max by (node) (dpl_lock_slots{@node})", "{{node}} places"),
            unit=units.Short,
        ),
        lines(
            "Cost of a scrape",
            "Time of each collector.",
            Query(
                "max by (node, collector) (dpl_exporter_collector_duration_seconds{@node})",
                "{{node}} {{collector}}",
            ),
            unit=units.Seconds,
        ),
        lines(
            "Clock",
            "How far the node's clock is from Prometheus's.",
            Query(
                "max by (node) (abs(dpl_node_time_seconds{@node}"
                " - timestamp(dpl_node_time_seconds{@node})))",
                "{{node}}",
            ),
            unit=units.Seconds,
            limits=above(limit("DplClockSkew", "dpl_node_time_seconds")),
        ),
    ]
