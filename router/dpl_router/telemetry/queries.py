"""Every PromQL query of the router, by name, with its unit and why it is asked.

Two polls carry all of them: `FACTS` (every `--poll-interval`, for the choice of a node) and
`VIEW` (every 5 s, for people). Each asks for recorded series by name in one selector, so the
cost does not grow with the number of facts.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """`promql` is one series name; `labels` are those the router reads from the answer."""

    promql: str
    unit: str
    labels: tuple[str, ...]
    why: str


SAMPLE_TIME = Query(
    promql="node:dpl_sample_timestamp:max",
    unit="seconds since 1970, Prometheus's clock",
    labels=("node",),
    why="When Prometheus scraped the facts: the value's own time in the answer minus this is age.",
)
UP = Query(
    promql="node:dpl_llm_up:max",
    unit="0 or 1",
    labels=("node",),
    why="The exporter reached the model server. Absent = not known.",
)
ELIGIBLE = Query(
    promql="node:dpl_eligible:bool",
    unit="0 or 1",
    labels=("node",),
    why="The operator's policy. A fresh 0 = do not use; absent = unknown, ranked last.",
)
EXCLUSIVE = Query(
    promql="dpl_lock_exclusive",
    unit="0 or 1",
    labels=("node",),
    why="Somebody holds the whole node.",
)
SLOTS = Query(
    promql="node:dpl_slots:max",
    unit="requests",
    labels=("node",),
    why="What the node can run at once, as its exporter says.",
)
MEMORY_FREE = Query(
    promql="node:dpl_gpu_memory_free:bytes",
    unit="bytes",
    labels=("node",),
    why="Whether one more model fits.",
)
ACCELERATOR = Query(
    promql="node:dpl_accelerator:bool",
    unit="0 or 1",
    labels=("node",),
    why="The class for the prior speeds before any was learned.",
)
COLLECTOR_AGE = Query(
    promql="node:dpl_collector_age_seconds:max",
    unit="seconds",
    labels=("node",),
    why="A cordon by an alert is lifted only while GPU and LLM collectors work.",
)
RUNNING = Query(
    promql="node_model:dpl_llm_requests_running:sum",
    unit="requests",
    labels=("node", "model"),
    why="What others sent: this minus our own count then. Absent where the engine tells none.",
)
WAITING = Query(
    promql="node_model:dpl_llm_requests_waiting:sum",
    unit="requests",
    labels=("node", "model"),
    why="The node's own queue, added to what runs. Absent where the engine tells none.",
)
LOADED = Query(
    promql="node_model:dpl_llm_model_loaded:max",
    unit="0 or 1",
    labels=("node", "model"),
    why="A model that is not in memory must be loaded first.",
)
DECODE = Query(
    promql="node_model:dpl_router_upstream_output_tokens:mean_rate15m",
    unit="tokens per second",
    labels=("node", "model"),
    why="Speed of the last 15 minutes, for a router that has just started.",
)

FACTS: Sequence[Query] = (
    SAMPLE_TIME,
    UP,
    ELIGIBLE,
    EXCLUSIVE,
    SLOTS,
    MEMORY_FREE,
    ACCELERATOR,
    COLLECTOR_AGE,
    RUNNING,
    WAITING,
    LOADED,
    DECODE,
)

CPU = Query(
    promql="node:dpl_node_cpu_utilization:ratio_rate1m",
    unit="ratio",
    labels=("node",),
    why="For people: how busy the machine is.",
)
MEMORY = Query(
    promql="node:dpl_node_memory_utilization:ratio",
    unit="ratio",
    labels=("node",),
    why="For people: memory in use.",
)
MEMORY_TOTAL = Query(
    promql="dpl_node_memory_total_bytes",
    unit="bytes",
    labels=("node",),
    why="For people: how much memory the machine has.",
)
LOAD = Query(
    promql="node:dpl_load:ratio",
    unit="ratio",
    labels=("node",),
    why="For people: the seed's load, 0 to 1.",
)
SCORE = Query(
    promql="node_model:dpl_load:score",
    unit="tier + ratio",
    labels=("node", "model"),
    why="For people: lower is better; the core prices in seconds instead.",
)
HELD = Query(
    promql="dpl_lock_held",
    unit="0 or 1",
    labels=("node",),
    why="For people: somebody, we included, holds a lease on the node.",
)
MODEL_SIZE = Query(
    promql="dpl_llm_model_size_bytes",
    unit="bytes",
    labels=("node", "model"),
    why="For people: what a model takes on the node's disk.",
)
MODEL_INFO = Query(
    promql="dpl_llm_model_info",
    unit="1",
    labels=("node", "model", "digest", "weights"),
    why="Which version of a model it is: one name shall not mean two.",
)
GPU = Query(
    promql="node_gpu:dpl_gpu_utilization:ratio",
    unit="ratio",
    labels=("node", "gpu"),
    why="For people: how busy each GPU is.",
)
GPU_MEMORY_USED = Query(
    promql="node_gpu:dpl_gpu_memory_used:bytes",
    unit="bytes",
    labels=("node", "gpu"),
    why="For people: memory of each GPU in use.",
)
GPU_MEMORY_TOTAL = Query(
    promql="node_gpu:dpl_gpu_memory_total:bytes",
    unit="bytes",
    labels=("node", "gpu"),
    why="For people: memory of each GPU.",
)

VIEW: Sequence[Query] = (
    CPU,
    MEMORY,
    MEMORY_TOTAL,
    LOAD,
    SCORE,
    HELD,
    MODEL_SIZE,
    MODEL_INFO,
    GPU,
    GPU_MEMORY_USED,
    GPU_MEMORY_TOTAL,
)


def selector(queries: Sequence[Query]) -> str:
    """One instant query for all of them; names are ours, so nothing needs escaping."""
    names = "|".join(query.promql for query in queries)
    return f'{{__name__=~"{names}"}}'
