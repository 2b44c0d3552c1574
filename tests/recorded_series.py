"""What our recording rules tell, for docs/metrics.md: a series without words here is an error."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

RULES = Path(__file__).parents[1] / "prometheus" / "rules"
WINDOW = re.compile(r"\d+[mhd]$")
BAD = "Share of a model's requests that missed the objective of"
WORDS = {
    "model:dpl_slo_availability_errors:ratio_rate": f"{BAD} being answered.",
    "model:dpl_slo_tpot_errors:ratio_rate": f"{BAD} the time for each token.",
    "model:dpl_slo_ttft_errors:ratio_rate": f"{BAD} the time to the first token.",
    "node:dpl_accelerator:bool": "1 where it has a GPU.",
    "node:dpl_collector_age_seconds:max": "Since its oldest GPU or LLM collector last worked.",
    "node:dpl_eligible:bool": "1 where the router may send to it; absent where nobody knows.",
    "node:dpl_energy_joules_per_output_token:ratio_rate": "Energy of its GPUs for a token.",
    "node:dpl_gpu_memory_free:bytes": "Of all its GPUs.",
    "node:dpl_gpu_memory_utilization:ratio": "Of all its GPUs.",
    "node:dpl_gpu_utilization:avg": "Mean of its GPUs, 0 to 1.",
    "node:dpl_llm_concurrency:ratio": "Requests (waiting ones twice) for each place, at most 1.",
    "node:dpl_llm_kv_cache_utilization:max": "Of the fullest server on it, 0 to 1.",
    "node:dpl_llm_up:max": "1 where its LLM server answers.",
    "node:dpl_load:ratio": "0 idle, 1 full; how it is made stands in docs/promql.md.",
    "node:dpl_node_cpu_utilization:ratio_rate": "0 to 1, of all CPUs.",
    "node:dpl_node_memory_utilization:ratio": "0 to 1.",
    "node:dpl_sample_timestamp:max": "When it was scraped last, in seconds since 1970.",
    "node:dpl_slots:max": "Places for requests; 4 where nobody says.",
    "node_gpu:dpl_gpu_memory_total:bytes": "Of one GPU.",
    "node_gpu:dpl_gpu_memory_used:bytes": "Of one GPU.",
    "node_gpu:dpl_gpu_utilization:ratio": "Of one GPU, 0 to 1.",
    "node_model:dpl_llm_model_loaded:max": "1 loaded, 0 not.",
    "node_model:dpl_llm_requests_running:sum": "As the server tells, whoever sent them.",
    "node_model:dpl_llm_requests_waiting:sum": "As the server tells, whoever sent them.",
    "node_model:dpl_load:score": "Its load, 1 more where the model is not loaded, 2 without a GPU.",
    "node_model:dpl_router_upstream_output_tokens:mean_rate": "Tokens a second of one request.",
    "node_vendor:dpl_gpu_info:count": "GPUs that it shows.",
}
"""Name without its window -> what it tells."""
HEAD = """
## Recorded by rules

From the above and, where a machine has them, from node_exporter, dcgm-exporter and the engines' own
pages (`prometheus/rules`). The first part of a name says its labels.

| series | windows | what it tells |
|---|---|---|
"""


def recorded() -> dict[str, list[str]]:
    """Name without its window -> its windows, in the order of the rules."""
    found: dict[str, list[str]] = {}
    for file in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]:
            for name in (rule["record"] for rule in group["rules"] if "record" in rule):
                window = WINDOW.search(name)
                windows = found.setdefault(WINDOW.sub("", name), [])
                windows.extend([window[0]] if window else [])
    return found


def section() -> Iterator[str]:
    """Raises: ValueError where WORDS and the rules differ."""
    known = recorded()
    if odd := known.keys() ^ WORDS.keys():
        raise ValueError(f"tests/recorded_series.py: WORDS and the rules differ in {sorted(odd)}")
    yield HEAD
    for name, windows in sorted(known.items()):
        end = "…" if len(windows) > 1 else "".join(windows)
        yield f"| `{name}{end}` | {', '.join(windows)} | {WORDS[name]} |\n"
